// The common case by itself: a short scalar that lies whole in the input. Everything else is the state machine's.
import Glibc
import TapWire

extension ReplyParser {
  private static var maximumBytes: Int { 16 << 10 }

  /// Takes the reply at `position` if it is a whole simple string, error, integer or bulk string, and nothing is open;
  /// else changes nothing and returns false.
  @inline(__always)
  mutating func takeWhole(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) -> Bool {
    guard let base = bytes.baseAddress, isAtBoundary else { return false }
    let end = min(bytes.count, position &+ ReplyParser.maximumBytes)
    var read = position &+ 1
    let type = base.load(fromByteOffset: position, as: UInt8.self)
    let head: StaticString
    var length = 0
    switch type {
    case UInt8(ascii: "$"):
      guard let announced = shortNumber(base, &read, end), announced &+ 2 <= end &- read else { return false }
      length = announced
      head = ResponseHead.bulkString
    case UInt8(ascii: "+"), UInt8(ascii: ":"):
      // Bounded: a line that is longer has the state machine's search for its end.
      let limit = min(end &- 1, read &+ 64)
      // LF ends a line as well as CR does: what stands there then is the state machine's.
      while read &+ length < limit, base.load(fromByteOffset: read &+ length, as: UInt8.self) > 0x0d { length &+= 1 }
      guard read &+ length < limit else { return false }
      let text = UnsafeRawBufferPointer(start: base + read, count: length)
      if type == UInt8(ascii: ":"), !isDecimal(text) { return false }
      head = type == UInt8(ascii: ":") ? ResponseHead.integer : ResponseHead.simpleString
    default:
      return false
    }
    guard isLineEnd(base, read &+ length) else { return false }
    beginWhole()
    writer.bytes.reserve(length &+ 64)
    let out = writer.bytes.unusedTail
    let headBytes = head.utf8CodeUnitCount
    memcpy(out, head.utf8Start, headBytes)
    let stringHead = storeHead(.textString, UInt64(truncatingIfNeeded: length), at: out + headBytes)
    let target = out + headBytes + stringHead
    if !copyChecking(base + read, length, to: target, readableBytes: end &- read),
      !isValidUTF8(UnsafeRawBufferPointer(start: target, count: length))
    {
      let first = (out + headBytes).load(as: UInt8.self)
      (out + headBytes).storeBytes(of: first & ~0x20, as: UInt8.self)
    }
    writer.bytes.useTail(headBytes &+ stringHead &+ length)
    position = read &+ length &+ 2
    return true
  }
}
