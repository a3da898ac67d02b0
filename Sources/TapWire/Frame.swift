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
}

/// A frame as it stands in the reader's buffer; valid until the reader moves on.
public struct Frame {
  /// A frame's content is at most 16 MiB; writers split longer data.
  public static let maximumBytes = 16 << 20

  public let kind: FrameKind
  /// The whole frame with the head of its byte string, for forwarding it unchanged.
  public let encoded: UnsafeRawBufferPointer
  /// Stands behind the kind.
  public let fields: CBORReader
  /// How many fields follow the kind; those a reader does not know are ignored.
  public let fieldCount: Int

  /// Takes the frame in `content`, the payload of the byte string `encoded`.
  @inlinable
  public init(
    encoded: UnsafeRawBufferPointer, content: UnsafeRawBufferPointer, streamOffset: UInt64
  ) throws(WireError) {
    var reader = CBORReader(content, streamOffset: streamOffset)
    let elements = try reader.readArrayHead()
    guard elements >= 1 else {
      throw WireError(offset: streamOffset, expected: "a frame [kind, …]", found: "an empty array")
    }
    kind = FrameKind(rawValue: try reader.readUnsigned())
    self.encoded = encoded
    fields = reader
    fieldCount = elements - 1
  }

  /// Throws if the frame has fewer than `count` fields behind its kind.
  @inlinable
  func require(_ count: Int, _ name: StaticString) throws(WireError) {
    guard fieldCount >= count else { throw missingFields(count, name) }
  }

  @usableFromInline
  @inline(never)
  func missingFields(_ count: Int, _ name: StaticString) -> WireError {
    WireError(offset: fields.offset, expected: "a \(name) frame with \(count) fields", found: "\(fieldCount)")
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
  mutating func readDirection() throws(WireError) -> Direction {
    let start = offset
    let value = try readUnsigned()
    guard let direction = UInt8(exactly: value).flatMap(Direction.init(rawValue:)) else {
      throw WireError(offset: start, expected: "a direction, 0 (sent) or 1 (received)", found: "\(value)")
    }
    return direction
  }
}
