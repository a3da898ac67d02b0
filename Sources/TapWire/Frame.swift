// One frame of TapWire: a CBOR array `[kind, …]` inside a byte string. docs/tapwire.md is the normative description.

/// The version of the format that hello frames carry.
public let tapWireVersion: UInt64 = 1

/// The kinds of frames. Unknown kinds are forwarded, never an error.
public struct FrameKind: RawRepresentable, Equatable, Sendable {
  public let rawValue: UInt64
  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }

  @inlinable public static var hello: FrameKind { FrameKind(rawValue: 0) }
  @inlinable public static var process: FrameKind { FrameKind(rawValue: 1) }
  @inlinable public static var flow: FrameKind { FrameKind(rawValue: 2) }
  @inlinable public static var data: FrameKind { FrameKind(rawValue: 3) }
  @inlinable public static var gap: FrameKind { FrameKind(rawValue: 4) }
  @inlinable public static var close: FrameKind { FrameKind(rawValue: 5) }
  @inlinable public static var exchange: FrameKind { FrameKind(rawValue: 6) }
  @inlinable public static var notice: FrameKind { FrameKind(rawValue: 7) }
  @inlinable public static var end: FrameKind { FrameKind(rawValue: 8) }
  @inlinable public static var connection: FrameKind { FrameKind(rawValue: 9) }
  @inlinable public static var exit: FrameKind { FrameKind(rawValue: 10) }
  @inlinable public static var hidden: FrameKind { FrameKind(rawValue: 11) }
}

/// A frame as it stands in the reader's buffer; valid until the reader moves on.
///
/// Kept small, and everything else computed: it is handed on two million times a second.
public struct Frame {
  /// A frame's content is at most 16 MiB; writers split longer data.
  public static let maximumBytes = 16 << 20

  @usableFromInline let base: UnsafeRawPointer
  @usableFromInline let encodedBytes: UInt32
  /// Where the fields behind the kind begin, from `base`.
  @usableFromInline let fieldsStart: UInt32
  /// Where `base` is in the input stream.
  @usableFromInline let streamOffset: UInt64
  public let kind: FrameKind
  @usableFromInline let fields32: UInt32
  /// How many bytes from `base` on may be read, at least `encodedBytes`: what the reader has behind the frame is memory
  /// of its own, so that heads at the frame's end need no bounds each.
  @usableFromInline let readableBytes: UInt32

  /// The whole frame with the head of its byte string, for forwarding it unchanged.
  @inlinable public var encoded: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: base, count: Int(encodedBytes))
  }

  /// Stands behind the kind.
  @inlinable public var fields: CBORReader {
    let start = Int(fieldsStart)
    return CBORReader(
      UnsafeRawBufferPointer(start: base + start, count: Int(encodedBytes) &- start),
      streamOffset: streamOffset &+ UInt64(start))
  }

  /// How many fields follow the kind; those a reader does not know are ignored.
  @inlinable public var fieldCount: Int { Int(fields32) }

  /// Takes the frame in `encoded`, a byte string whose head is `headBytes` long, at `streamOffset` of the input.
  @inlinable
  public init(encoded: UnsafeRawBufferPointer, headBytes: Int, streamOffset: UInt64) throws(WireError) {
    var reader = CBORReader(
      UnsafeRawBufferPointer(rebasing: encoded[headBytes...]), streamOffset: streamOffset &+ UInt64(headBytes))
    let elements = try reader.readArrayHead()
    guard elements >= 1, let base = encoded.baseAddress else {
      throw reader.fail("a frame [kind, …]", "an empty array", at: 0)
    }
    kind = FrameKind(rawValue: try reader.readUnsigned())
    self.base = base
    encodedBytes = UInt32(encoded.count)
    fieldsStart = encodedBytes &- UInt32(truncatingIfNeeded: reader.rest.count)
    self.streamOffset = streamOffset
    fields32 = UInt32(elements &- 1)
    readableBytes = encodedBytes
  }

  /// Takes a frame whose heads are of the usual form: a byte string below 64 KiB of an array with fewer than 24 elements,
  /// of a known kind, that lies whole in `readableBytes` bytes from `base` on. Nil for any other, also for malformed ones.
  @inline(__always)
  init?(short base: UnsafeRawPointer, readableBytes: Int, streamOffset: UInt64) {
    // The longest of these heads takes five bytes.
    guard readableBytes >= 5 else { return nil }
    let initial = base.load(as: UInt8.self)
    let headBytes: Int
    let contentBytes: Int
    if initial == 0x58 {
      headBytes = 2
      contentBytes = Int(base.load(fromByteOffset: 1, as: UInt8.self))
    } else if initial == 0x59 {
      headBytes = 3
      contentBytes = Int(UInt16(bigEndian: base.loadUnaligned(fromByteOffset: 1, as: UInt16.self)))
    } else {
      guard initial >= 0x40, initial < 0x58 else { return nil }
      headBytes = 1
      contentBytes = Int(initial & 0x1f)
    }
    let elements = base.load(fromByteOffset: headBytes, as: UInt8.self) ^ CBORMajor.array.rawValue
    let kind = base.load(fromByteOffset: headBytes &+ 1, as: UInt8.self)
    // Each element takes at least a byte.
    guard headBytes &+ contentBytes <= readableBytes, elements >= 1, elements < 24, kind < 24,
      Int(elements) < contentBytes
    else { return nil }
    self.base = base
    self.kind = FrameKind(rawValue: UInt64(kind))
    self.streamOffset = streamOffset
    encodedBytes = UInt32(truncatingIfNeeded: headBytes &+ contentBytes)
    fieldsStart = UInt32(truncatingIfNeeded: headBytes &+ 2)
    fields32 = UInt32(elements) &- 1
    self.readableBytes = UInt32(clamping: readableBytes)
  }

  /// Takes the frame in `encoded`, a whole byte string with its head.
  package init(encoded: UnsafeRawBufferPointer, streamOffset: UInt64) throws(WireError) {
    var outer = CBORReader(encoded, streamOffset: streamOffset)
    let content = try outer.readString()
    try self.init(encoded: encoded, headBytes: encoded.count - content.count, streamOffset: streamOffset)
  }

  /// Throws if the frame has fewer than `count` fields behind its kind.
  @inlinable
  func require(_ count: Int, _ name: StaticString) throws(WireError) {
    guard fieldCount >= count else { throw missingFields(count, name) }
  }

  @usableFromInline
  @inline(never)
  func missingFields(_ count: Int, _ name: StaticString) -> WireError {
    WireError(offset: fields.offset, expected: "at least \(count) fields in the \(name) frame", found: "\(fieldCount)")
  }
}

extension Frame {
  /// Throws unless what follows the first `known` fields, up to which `fields` has been read, ends with the frame.
  @inlinable
  @inline(__always)
  func requireEnd(_ fields: CBORReader, after known: Int) throws(WireError) {
    if fieldCount > known || !fields.isAtEnd { try checkRest(fields, after: known) }
  }

  @usableFromInline
  @inline(never)
  func checkRest(_ fields: CBORReader, after known: Int) throws(WireError) {
    var fields = fields
    // A later version's: well-formed, whatever they mean.
    for _ in min(known, fieldCount)..<fieldCount { _ = try fields.readItem() }
    guard fields.isAtEnd else { throw fields.fail("the end of the frame", "more bytes", at: fields.position) }
  }
}

/// A direction of a flow, as its process sees it.
public enum Direction: UInt8, Sendable {
  case sent = 0
  case received = 1

  @inlinable public var opposite: Direction { self == .sent ? .received : .sent }
}

extension CBORReader {
  @inlinable
  @inline(__always)
  mutating func readDirection() throws(WireError) -> Direction {
    let start = position
    let value = try readUnsigned()
    guard value <= 1 else { throw fail("a direction, 0 (sent) or 1 (received)", "\(value)", at: start) }
    return value == 0 ? .sent : .received
  }
}
