// What is kept of the snapshot that a replica receives.
import TapWire

/// A snapshot: its beginning, and its length. What it holds is the whole database, which nobody wants to see here.
struct Snapshot {
  /// The magic word of an RDB file, and its version.
  private static let keptBytes = 9
  private(set) var beginning: [UInt8] = []
  /// In bytes; where the end is not known, so many came.
  private(set) var length: UInt64 = 0
  private(set) var firstByte: UInt64?
  private(set) var isTouchedByGap = false

  mutating func append(_ bytes: UnsafeRawBufferPointer, at time: UInt64) {
    if firstByte == nil { firstByte = time }
    if UInt64(beginning.count) == length { beginning += bytes.prefix(Snapshot.keptBytes - beginning.count) }
    length = length.addingReportingOverflow(UInt64(bytes.count)).partialValue
  }

  mutating func lose(_ bytes: UInt64, at time: UInt64) {
    if firstByte == nil { firstByte = time }
    length = length.addingReportingOverflow(bytes).partialValue
    isTouchedByGap = true
  }

  /// So many bytes belong to it that did not come.
  mutating func expect(_ bytes: UInt64) { length = length.addingReportingOverflow(bytes).partialValue }

  /// The last bytes that were added are no part of it.
  mutating func removeLast(_ bytes: UInt64) {
    length -= min(length, bytes)
    beginning = Array(beginning.prefix(Int(clamping: length)))
  }

  /// The response map: a value that is cut to its beginning.
  var response: ByteBuffer {
    var response = ByteBuffer(capacityBytes: 96)
    response.appendMapHead(2)
    response.append(ResponseHead.snapshot)
    response.appendTag(WireTag.cut)
    response.appendArrayHead(2)
    response.appendUnsigned(length)
    response.appendString(beginning)
    return response
  }
}
