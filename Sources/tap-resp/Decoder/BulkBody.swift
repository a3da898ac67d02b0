// What stands behind `$N\r\n`: N bytes and CRLF, read across any split.

/// The body of a bulk string, as far as it has been read.
struct BulkBody {
  /// Bytes of the content that are still to come.
  private(set) var contentLeft: Int
  /// The same of CRLF.
  private var endLeft = 2

  /// `length` is below 10^18, as `NumberLine` reads it.
  @inline(__always)
  init(length: Int) { contentLeft = length }

  /// The next part of the content; empty where there is none.
  @inline(__always)
  mutating func readContent(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) -> UnsafeRawBufferPointer {
    let start = position
    let count = min(contentLeft, bytes.count &- start)
    position &+= count
    contentLeft &-= count
    return UnsafeRawBufferPointer(rebasing: bytes[start..<start &+ count])
  }

  /// Reads on to the end of CRLF; false where more bytes are needed.
  @inline(__always)
  mutating func readEnd(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) throws(Malformed) -> Bool {
    guard contentLeft == 0 else { return false }
    while endLeft > 0 {
      guard position < bytes.count else { return false }
      guard bytes[position] == (endLeft == 2 ? 0x0d : 0x0a) else { throw Malformed() }
      position &+= 1
      endLeft &-= 1
    }
    return true
  }

  /// Steps over `length` missing bytes; does nothing and returns false where they go beyond it.
  mutating func skip(_ length: UInt64) -> Bool {
    guard length <= UInt64(contentLeft + endLeft) else { return false }
    let content = min(Int(length), contentLeft)
    contentLeft -= content
    endLeft -= Int(length) - content
    return true
  }
}
