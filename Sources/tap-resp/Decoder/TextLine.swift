// A line of text up to its end, handed out in place where it lies in one piece.
import Glibc
import TapWire

/// A line as far as it has been read. What is longer than `RESPLimits.lineBytes` is counted and dropped.
struct TextLine: ~Copyable {
  private var kept = ByteBuffer(capacityBytes: 16)
  /// Bytes of the line so far, those dropped included.
  private var length = 0
  /// The last byte of the line so far, also where it was dropped.
  private var last: UInt8 = 0

  /// A whole line without its end.
  struct Content {
    var bytes: UnsafeRawBufferPointer
    /// More than `bytes.count` if the line was too long.
    var fullLength: Int
    /// Whether CR stood before LF.
    var hasReturn: Bool
  }

  /// Reads to the next LF; nil where the line goes on behind the bytes. The content is valid until the next call.
  @inline(__always)
  mutating func read(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) -> Content? {
    guard let base = bytes.baseAddress, position < bytes.count else { return nil }
    let start = position
    guard let found = memchr(base + start, 0x0a, bytes.count &- start) else {
      keep(UnsafeRawBufferPointer(rebasing: bytes[start...]))
      position = bytes.count
      return nil
    }
    let end = base.distance(to: UnsafeRawPointer(found))
    position = end &+ 1
    if length == 0, end &- start <= RESPLimits.lineBytes {
      let line = UnsafeRawBufferPointer(start: base + start, count: end &- start)
      return TextLine.content(line, end &- start, last: line.last)
    }
    keep(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
    let (full, last) = (length, self.last)
    length = 0
    self.last = 0
    defer { kept.removeAll() }
    return TextLine.content(kept.bytes, full, last: last)
  }

  @inline(__always)
  private static func content(_ bytes: UnsafeRawBufferPointer, _ fullLength: Int, last: UInt8?) -> Content {
    guard last == 0x0d else { return Content(bytes: bytes, fullLength: fullLength, hasReturn: false) }
    // Of a line that was cut the last byte kept is its own, whatever it is.
    let isWhole = bytes.count == fullLength
    return Content(
      bytes: isWhole ? UnsafeRawBufferPointer(rebasing: bytes.dropLast()) : bytes,
      fullLength: fullLength - 1, hasReturn: true)
  }

  private mutating func keep(_ bytes: UnsafeRawBufferPointer) {
    length += bytes.count
    last = bytes.last ?? last
    kept.append(UnsafeRawBufferPointer(rebasing: bytes.prefix(RESPLimits.lineBytes - kept.count)))
  }

  /// Forgets a line that is not whole.
  mutating func reset() {
    kept.removeAll()
    length = 0
    last = 0
  }

  /// What of an unfinished line has come.
  var unfinished: UnsafeRawBufferPointer { kept.bytes }
  var unfinishedLength: Int { length }
}
