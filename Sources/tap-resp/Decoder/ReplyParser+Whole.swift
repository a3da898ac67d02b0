// The common case by itself: a short scalar that lies whole in the input. Everything else is the state machine's.
import Glibc
import TapWire

/// A whole simple string, integer, bulk string or null, found in the input and not copied yet.
struct WholeReply {
  private static var maximumBytes: Int { 16 << 10 }
  /// What its map takes at most.
  static var maximumMapBytes: Int { maximumBytes + 64 }

  /// The beginning of its map.
  private let head: UnsafePointer<UInt8>
  private let headBytes: Int
  private let text: UnsafeRawPointer
  private let textBytes: Int
  /// Null has no text, and its map says so.
  private let isNull: Bool
  /// Behind its last byte.
  let end: Int

  /// Finds the reply at `position`, which must be inside of the input; nil where there is something else or not enough.
  @inline(__always)
  init?(_ bytes: UnsafeRawBufferPointer, at position: Int) {
    guard let base = bytes.baseAddress else { return nil }
    let end = bytes.count
    var read = position &+ 1
    let type = base.load(fromByteOffset: position, as: UInt8.self)
    var length = 0
    var isNull = false
    let head: StaticString
    switch type {
    case UInt8(ascii: "$"):
      // RESP2's null is `$-1`: what GET finds where there is no key.
      if end &- read >= 4,
        UInt32(littleEndian: base.loadUnaligned(fromByteOffset: read, as: UInt32.self)) == 0x0a0d_312d
      {
        read &+= 2
        isNull = true
        head = ResponseHead.null
      } else {
        guard let announced = shortNumber(base, &read, end), announced &+ 2 <= end &- read,
          announced <= WholeReply.maximumBytes
        else { return nil }
        length = announced
        head = ResponseHead.bulkString
      }
    case UInt8(ascii: "+"), UInt8(ascii: ":"):
      // Bounded: a line that is longer has the state machine's search for its end.
      let limit = min(end &- 1, read &+ 64)
      // LF ends a line as well as CR does: what stands there then is the state machine's.
      while read &+ length < limit, base.load(fromByteOffset: read &+ length, as: UInt8.self) > 0x0d { length &+= 1 }
      guard read &+ length < limit else { return nil }
      if type == UInt8(ascii: ":") {
        guard isDecimal(UnsafeRawBufferPointer(start: base + read, count: length)) else { return nil }
        head = ResponseHead.integer
      } else {
        head = ResponseHead.simpleString
      }
    default:
      return nil
    }
    guard isLineEnd(base, read &+ length) else { return nil }
    self.head = head.utf8Start
    headBytes = head.utf8CodeUnitCount
    text = base + read
    textBytes = length
    self.isNull = isNull
    self.end = read &+ length &+ 2
  }

  /// The length of its map. Null takes a byte, as the head of an empty text does.
  @inline(__always) var mapBytes: Int {
    1 &+ headBytes &+ (textBytes < 24 ? 1 : cborHeadBytes(UInt64(truncatingIfNeeded: textBytes))) &+ textBytes
  }

  /// Writes its map, and up to seven bytes behind it that mean nothing.
  @inline(__always)
  func store(at target: UnsafeMutableRawPointer) {
    target.storeBytes(of: 0xa2, as: UInt8.self)
    copyMap(from: UnsafeRawPointer(head), to: target + 1, bytes: headBytes)
    let stringHead = target + 1 + headBytes
    if isNull { return stringHead.storeBytes(of: 0xf6, as: UInt8.self) }
    let content = stringHead + storeHead(.textString, UInt64(truncatingIfNeeded: textBytes), at: stringHead)
    // How many bytes of the input before the end of the text may be read.
    if end &- 2 >= 8 {
      if !copyChecking(text, textBytes, to: content) { chooseMajor(stringHead, content, textBytes) }
    } else {
      // Shorter than eight bytes, CRLF not counted.
      var isASCII = true
      for index in 0..<textBytes {
        let byte = text.load(fromByteOffset: index, as: UInt8.self)
        if byte >= 0x80 { isASCII = false }
        content.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
      }
      if !isASCII { chooseMajor(stringHead, content, textBytes) }
    }
  }
}

extension ReplyParser {
  /// Takes the reply at `position` if it is whole and short, and nothing is open; else changes nothing and returns false.
  @inline(__always)
  mutating func takeWhole(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) -> Bool {
    guard isAtBoundary, let reply = WholeReply(bytes, at: position) else { return false }
    beginWhole()
    writer.bytes.reserve(reply.mapBytes &+ 8)
    reply.store(at: writer.bytes.unusedTail)
    writer.bytes.useTail(reply.mapBytes)
    position = reply.end
    return true
  }

  /// Takes the element of an aggregate at `position` if it is a bulk string that lies whole in the input; else changes
  /// nothing and returns false.
  @inline(__always)
  mutating func takeWholeElement(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) throws(Malformed) -> Bool {
    guard let base = bytes.baseAddress, bytes[position] == UInt8(ascii: "$"), !levels.isEmpty, !isStreamedString else {
      return false
    }
    var start = position &+ 1
    guard let length = shortNumber(base, &start, bytes.count), length &+ 2 <= bytes.count &- start,
      isLineEnd(base, start &+ length)
    else { return false }
    type = UInt8(ascii: "$")
    try beginElement()
    if isStoring {
      writer.beginString(length)
      writer.appendString(UnsafeRawBufferPointer(start: base + start, count: length))
      writer.endString()
    }
    position = start &+ length &+ 2
    return true
  }
}
