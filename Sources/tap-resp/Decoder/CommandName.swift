// A command's name in two words, so that it is compared and looked up without a string.

/// A command's name in upper case, as far as it is compared: no command that is treated specially is longer.
struct CommandName: Hashable {
  var low: UInt64 = 0
  var high: UInt64 = 0
  var length = 0

  init() {}

  init(low: UInt64, length: Int) {
    self.low = low
    self.length = length
  }

  init(_ text: StaticString) {
    self.init(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  /// `text` is in upper case.
  init(_ text: String) {
    var text = text
    self = text.withUTF8 { CommandName(UnsafeRawBufferPointer($0)) }
  }

  @inline(__always)
  init(_ bytes: UnsafeRawBufferPointer) {
    length = bytes.count
    var position = 0
    while position < bytes.count, position < 8 {
      low |= UInt64(bytes[position]) << UInt64(position &* 8)
      position &+= 1
    }
    while position < bytes.count, position < 16 {
      high |= UInt64(bytes[position]) << UInt64((position &- 8) &* 8)
      position &+= 1
    }
  }
}
