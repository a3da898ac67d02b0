// Reading CBOR (RFC 8949) in place: a cursor that cannot leave its bytes, with the stream offset in every error.

/// The head of a data item.
public struct CBORHead: Sendable {
  /// The value, length, count, tag number or float bits; 0 where `isIndefinite`.
  public let argument: UInt64
  /// The initial byte: major type and additional information.
  @usableFromInline let initial: UInt8

  @inlinable
  init(_ initial: UInt8, argument: UInt64) {
    self.initial = initial
    self.argument = argument
  }

  @inlinable public var major: CBORMajor { CBORMajor(initialByte: initial) }
  /// The low five bits of the initial byte; tells a float's width.
  @inlinable public var additional: UInt8 { initial & 0x1f }
  /// Additional information 31: an indefinite length, or the "break" that ends one (major type 7).
  @inlinable public var isIndefinite: Bool { additional == 31 }
  /// Whether this is the "break" stop code (RFC 8949, section 3.2.1).
  @inlinable public var isBreak: Bool { initial == 0xff }
}

/// A cursor over the CBOR items of one frame.
///
/// The bytes belong to the frame reader and are valid until it moves to the next frame. `read…` advances, `peek…` does not.
/// Every length is compared with the bytes that are left before it is used, so a hostile one ends in a `WireError`.
public struct CBORReader {
  /// Nesting that is accepted: deeper items are an error, so that no input can exhaust a stack.
  public static let maximumDepth = 512

  @usableFromInline let bytes: UnsafeRawBufferPointer
  @usableFromInline var position: Int
  /// Where `bytes` begins in the input stream.
  @usableFromInline let streamOffset: UInt64

  @inlinable
  public init(_ bytes: UnsafeRawBufferPointer, streamOffset: UInt64) {
    self.bytes = bytes
    self.streamOffset = streamOffset
    position = 0
  }

  @inlinable public var isAtEnd: Bool { position == bytes.count }
  /// Position in the input stream, for errors.
  @inlinable public var offset: UInt64 { streamOffset &+ UInt64(position) }
  /// What has not been read yet.
  @inlinable public var rest: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[position...]) }

  @inline(never)
  @usableFromInline
  func fail(_ expected: String, _ found: String, at place: Int) -> WireError {
    WireError(offset: streamOffset &+ UInt64(place), expected: expected, found: found)
  }

  @inlinable
  @inline(__always)
  public mutating func readHead() throws(WireError) -> CBORHead {
    guard position < bytes.count else { throw fail("a data item", "the end of the frame", at: position) }
    let initial = bytes[position]
    position &+= 1
    let additional = initial & 0x1f
    if additional < 24 { return CBORHead(initial, argument: UInt64(additional)) }
    if additional <= 27, bytes.count &- position >= 8, let base = bytes.baseAddress {
      // The argument is the first 1, 2, 4 or 8 of the next eight bytes: one load, no branch on its width.
      let width = 1 << Int(additional &- 24)
      let word = UInt64(bigEndian: base.loadUnaligned(fromByteOffset: position, as: UInt64.self))
      position &+= width
      return CBORHead(initial, argument: word &>> UInt64(64 &- 8 &* width))
    }
    return try readLongHead(initial)
  }

  @usableFromInline
  mutating func readLongHead(_ initial: UInt8) throws(WireError) -> CBORHead {
    let start = position &- 1
    switch initial & 0x1f {
    case 24: return CBORHead(initial, argument: UInt64(try readRaw(UInt8.self, from: start)))
    case 25: return CBORHead(initial, argument: UInt64(try readRaw(UInt16.self, from: start)))
    case 26: return CBORHead(initial, argument: UInt64(try readRaw(UInt32.self, from: start)))
    case 27: return CBORHead(initial, argument: try readRaw(UInt64.self, from: start))
    // Integers and tags have no indefinite form.
    case 31 where initial >= 0x40 && initial != 0xdf: return CBORHead(initial, argument: 0)
    default: throw fail("a CBOR head", "reserved initial byte 0x\(String(initial, radix: 16))", at: start)
    }
  }

  @inlinable
  mutating func readRaw<T: FixedWidthInteger>(_: T.Type, from start: Int) throws(WireError) -> T {
    let width = MemoryLayout<T>.size
    guard bytes.count &- position >= width, let base = bytes.baseAddress else {
      throw fail("\(width) more bytes of a CBOR head", "\(bytes.count &- position)", at: start)
    }
    defer { position &+= width }
    return T(bigEndian: base.loadUnaligned(fromByteOffset: position, as: T.self))
  }

  /// The next item's head, without moving.
  @inlinable
  public func peekHead() throws(WireError) -> CBORHead {
    var ahead = self
    return try ahead.readHead()
  }

  @inlinable
  @inline(__always)
  public mutating func readUnsigned() throws(WireError) -> UInt64 {
    let start = position
    let head = try readHead()
    guard head.major == .unsigned else { throw unexpected(head, "an unsigned integer", at: start) }
    return head.argument
  }

  /// An integer of either sign that fits 64 bits.
  public mutating func readInteger() throws(WireError) -> Int64 {
    let start = position
    let head = try readHead()
    guard head.major == .unsigned || head.major == .negative, head.argument <= UInt64(Int64.max) else {
      throw unexpected(head, "an integer within 64 bits", at: start)
    }
    let value = Int64(head.argument)
    return head.major == .unsigned ? value : ~value
  }

  /// A text or byte string (both are accepted: `appendString` chooses between them by content).
  @inlinable
  @inline(__always)
  public mutating func readString() throws(WireError) -> UnsafeRawBufferPointer {
    let start = position
    let head = try readHead()
    guard head.major == .textString || head.major == .byteString else {
      throw unexpected(head, "a string", at: start)
    }
    return try readPayload(of: head, from: start)
  }

  /// The payload of a string whose head has just been read.
  @inlinable
  @inline(__always)
  public mutating func readPayload(of head: CBORHead) throws(WireError) -> UnsafeRawBufferPointer {
    try readPayload(of: head, from: position)
  }

  @inlinable
  @inline(__always)
  mutating func readPayload(of head: CBORHead, from start: Int) throws(WireError) -> UnsafeRawBufferPointer {
    let payload = position
    try skipPayload(of: head, from: start)
    return UnsafeRawBufferPointer(rebasing: bytes[payload..<position])
  }

  @inlinable
  @inline(__always)
  mutating func skipPayload(of head: CBORHead, from start: Int) throws(WireError) {
    if head.isIndefinite { throw indefiniteLength(at: start) }
    guard head.argument <= UInt64(bytes.count &- position) else {
      throw fail("a string of \(head.argument) bytes", "\(bytes.count &- position) bytes to the end", at: start)
    }
    position &+= Int(truncatingIfNeeded: head.argument)
  }

  /// A text string as a Swift string; a byte string is repaired, for fields that only a person reads.
  public mutating func readText() throws(WireError) -> String {
    String(decoding: try readString(), as: UTF8.self)
  }

  public mutating func readBool() throws(WireError) -> Bool {
    let start = position
    let head = try readHead()
    guard head.major == .simple, head.additional == 20 || head.additional == 21 else {
      throw unexpected(head, "a boolean", at: start)
    }
    return head.additional == 21
  }

  /// Consumes a null if one stands here.
  @inlinable
  public mutating func readNullIfPresent() -> Bool {
    guard position < bytes.count, bytes[position] == 0xf6 else { return false }
    position &+= 1
    return true
  }

  /// An array's element count. Each element takes at least a byte, so a count beyond the bytes left is an error.
  @inlinable
  @inline(__always)
  public mutating func readArrayHead() throws(WireError) -> Int { try readCount(.array, "an array", bytesEach: 1) }

  /// A map's pair count.
  @inlinable
  @inline(__always)
  public mutating func readMapHead() throws(WireError) -> Int { try readCount(.map, "a map", bytesEach: 2) }

  @inlinable
  @inline(__always)
  mutating func readCount(_ major: CBORMajor, _ name: StaticString, bytesEach: Int) throws(WireError) -> Int {
    let start = position
    let head = try readHead()
    guard head.major == major else { throw unexpected(head, "\(name)", at: start) }
    if head.isIndefinite { throw indefiniteLength(at: start) }
    guard head.argument <= UInt64((bytes.count &- position) / bytesEach) else {
      throw fail("\(name) that fits its frame", "a count of \(head.argument)", at: start)
    }
    return Int(head.argument)
  }

  /// Moves behind the next item, whatever it is, and returns its bytes.
  ///
  /// What it returns is well formed, of definite lengths and within `maximumDepth`: walking it again cannot fail.
  public mutating func readItem() throws(WireError) -> UnsafeRawBufferPointer {
    let start = position
    try skipItems(1, depth: 0)
    return UnsafeRawBufferPointer(rebasing: bytes[start..<position])
  }

  mutating func skipItems(_ items: UInt64, depth: Int) throws(WireError) {
    guard depth <= Self.maximumDepth else {
      throw fail("at most \(Self.maximumDepth) levels", "deeper nesting", at: position)
    }
    // A count larger than the frame ends at the end of the frame: each item takes at least one byte.
    for _ in 0..<items {
      let start = position
      let head = try readHead()
      if head.isIndefinite {
        throw head.isBreak ? unexpected(head, "a data item", at: start) : indefiniteLength(at: start)
      }
      switch head.major {
      case .unsigned, .negative: break
      case .byteString, .textString: try skipPayload(of: head, from: start)
      case .array: try skipItems(head.argument, depth: depth + 1)
      case .map:
        guard head.argument <= UInt64(bytes.count) else {
          throw fail("a map that fits its frame", "a count of \(head.argument)", at: start)
        }
        try skipItems(head.argument * 2, depth: depth + 1)
      case .tag: try skipItems(1, depth: depth + 1)
      default:
        // RFC 8949, 3.3: simple values below 32 have no two-byte form.
        if head.additional == 24, head.argument < 32 { throw unexpected(head, "a simple value", at: start) }
      }
    }
  }

  @inline(never)
  @usableFromInline
  func unexpected(_ head: CBORHead, _ expected: String, at place: Int) -> WireError {
    fail(expected, Self.describe(head), at: place)
  }

  @inline(never)
  @usableFromInline
  func indefiniteLength(at place: Int) -> WireError {
    var error = fail("a definite length", "an indefinite one", at: place)
    error.isIndefiniteLength = true
    return error
  }

  static func describe(_ head: CBORHead) -> String {
    if head.isBreak { return "a break" }
    let length = head.isIndefinite ? " of indefinite length" : ""
    switch head.major {
    case .unsigned: return "the integer \(head.argument)"
    case .negative: return "a negative integer"
    case .byteString: return "a byte string" + length
    case .textString: return "a text string" + length
    case .array: return "an array" + length
    case .map: return "a map" + length
    case .tag: return "tag \(head.argument)"
    default: return head.additional == 22 ? "null" : head.additional >= 25 ? "a float" : "a simple value"
    }
  }
}
