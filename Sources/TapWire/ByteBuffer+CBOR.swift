// Writing CBOR (RFC 8949): shortest heads, definite lengths, nothing reordered.

/// The major types of RFC 8949, section 3.1, as the three top bits of a head.
///
/// A struct over the raw bits, not an enum: all eight patterns are valid, so reading one needs no check.
public struct CBORMajor: Equatable, Sendable {
  public let rawValue: UInt8
  @inlinable public init(initialByte: UInt8) { rawValue = initialByte & 0xe0 }

  @inlinable public static var unsigned: CBORMajor { CBORMajor(initialByte: 0x00) }
  @inlinable public static var negative: CBORMajor { CBORMajor(initialByte: 0x20) }
  @inlinable public static var byteString: CBORMajor { CBORMajor(initialByte: 0x40) }
  @inlinable public static var textString: CBORMajor { CBORMajor(initialByte: 0x60) }
  @inlinable public static var array: CBORMajor { CBORMajor(initialByte: 0x80) }
  @inlinable public static var map: CBORMajor { CBORMajor(initialByte: 0xa0) }
  @inlinable public static var tag: CBORMajor { CBORMajor(initialByte: 0xc0) }
  @inlinable public static var simple: CBORMajor { CBORMajor(initialByte: 0xe0) }
}

/// How many bytes the shortest head for `argument` takes: 1, 2, 3, 5 or 9 (RFC 8949, section 4.2.1).
@inlinable
public func cborHeadBytes(_ argument: UInt64) -> Int {
  if argument < 24 { return 1 }
  if argument <= 0xff { return 2 }
  if argument <= 0xffff { return 3 }
  return argument <= 0xffff_ffff ? 5 : 9
}

/// How long a head is that begins with `initialByte`; reserved ones count as one byte.
func cborHeadBytes(initialByte: UInt8) -> Int {
  let additional = initialByte & 0x1f
  return additional < 24 || additional > 27 ? 1 : 1 + (1 << Int(additional - 24))
}

/// Writes the shortest head for `argument` at `target`, no byte more than its length, which it returns.
@inlinable
@inline(__always)
func storeCBORHead(_ major: CBORMajor, _ argument: UInt64, at target: UnsafeMutablePointer<UInt8>) -> Int {
  let raw = UnsafeMutableRawPointer(target)
  if argument < 24 {
    target[0] = major.rawValue | UInt8(truncatingIfNeeded: argument)
    return 1
  }
  if argument <= 0xff {
    target[0] = major.rawValue | 24
    target[1] = UInt8(truncatingIfNeeded: argument)
    return 2
  }
  if argument <= 0xffff {
    target[0] = major.rawValue | 25
    raw.storeBytes(of: UInt16(truncatingIfNeeded: argument).bigEndian, toByteOffset: 1, as: UInt16.self)
    return 3
  }
  if argument <= 0xffff_ffff {
    target[0] = major.rawValue | 26
    raw.storeBytes(of: UInt32(truncatingIfNeeded: argument).bigEndian, toByteOffset: 1, as: UInt32.self)
    return 5
  }
  target[0] = major.rawValue | 27
  raw.storeBytes(of: argument.bigEndian, toByteOffset: 1, as: UInt64.self)
  return 9
}

/// The same as `storeCBORHead`, for a time: nanoseconds take the longest head unless the clock started seconds ago.
@inlinable
@inline(__always)
func storeCBORHead(time: UInt64, at target: UnsafeMutablePointer<UInt8>) -> Int {
  guard time > 0xffff_ffff else { return storeCBORHead(.unsigned, time, at: target) }
  target[0] = CBORMajor.unsigned.rawValue | 27
  UnsafeMutableRawPointer(target).storeBytes(of: time.bigEndian, toByteOffset: 1, as: UInt64.self)
  return 9
}

/// Copies a map; the short ones that are most of them without a call or a loop.
@inlinable
@inline(__always)
public func copyMap(from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer, bytes count: Int) {
  guard count >= 16, count <= 128 else { return target.copyMemory(from: source, byteCount: count) }
  // Pieces from the beginning and from the end, which overlap where the length is no sum of whole ones.
  copyPiece(source, target, at: 0)
  if count > 32 {
    copyPiece(source, target, at: 16)
    if count > 64 {
      copyPiece(source, target, at: 32)
      copyPiece(source, target, at: 48)
      copyPiece(source, target, at: count &- 64)
      copyPiece(source, target, at: count &- 48)
    }
    copyPiece(source, target, at: count &- 32)
  }
  copyPiece(source, target, at: count &- 16)
}

/// Copies sixteen bytes.
@inlinable
@inline(__always)
public func copyPiece(_ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer, at offset: Int) {
  let piece = source.loadUnaligned(fromByteOffset: offset, as: SIMD2<UInt64>.self)
  target.storeBytes(of: piece, toByteOffset: offset, as: SIMD2<UInt64>.self)
}

extension ByteBuffer {
  /// Writes the head of a data item: its major type and argument (a value, a length, a count or a tag number).
  @inlinable
  public mutating func appendHead(_ major: CBORMajor, _ argument: UInt64) {
    reserve(9)
    used &+= storeCBORHead(major, argument, at: base + count)
  }

  /// Puts the shortest head for `argument` in the place of the bytes in `range`, and moves what is behind them.
  public mutating func replaceSubrange(_ range: Range<Int>, withHead major: CBORMajor, _ argument: UInt64) {
    let hole = makeHole(in: range, lengthBytes: cborHeadBytes(argument))
    _ = storeCBORHead(major, argument, at: hole.assumingMemoryBound(to: UInt8.self))
  }

  @inlinable
  public mutating func appendUnsigned(_ value: UInt64) { appendHead(.unsigned, value) }

  @inlinable
  public mutating func appendInteger(_ value: Int64) {
    // RFC 8949, 3.1: major type 1 carries -1 - n, which is the bitwise complement.
    if value >= 0 { appendHead(.unsigned, UInt64(value)) } else { appendHead(.negative, ~UInt64(bitPattern: value)) }
  }

  /// Writes a text string. `text` must be valid UTF-8.
  @inlinable
  public mutating func appendText(_ text: UnsafeRawBufferPointer) {
    appendHead(.textString, UInt64(text.count))
    append(text)
  }

  public mutating func appendText(_ text: String) {
    var text = text
    text.withUTF8 { appendText(UnsafeRawBufferPointer($0)) }
  }

  @inlinable
  public mutating func appendText(_ text: StaticString) {
    appendHead(.textString, UInt64(text.utf8CodeUnitCount))
    append(text)
  }

  @inlinable
  public mutating func appendBytes(_ bytes: UnsafeRawBufferPointer) {
    appendHead(.byteString, UInt64(bytes.count))
    append(bytes)
  }

  /// Writes bytes that are usually text: a text string where they are valid UTF-8, else a byte string.
  @inlinable
  public mutating func appendString(_ bytes: UnsafeRawBufferPointer) {
    appendHead(isValidUTF8(bytes) ? .textString : .byteString, UInt64(bytes.count))
    append(bytes)
  }

  public mutating func appendString(_ bytes: [UInt8]) {
    bytes.withUnsafeBytes { appendString($0) }
  }

  @inlinable public mutating func appendArrayHead(_ elements: Int) { appendHead(.array, UInt64(elements)) }
  @inlinable public mutating func appendMapHead(_ pairs: Int) { appendHead(.map, UInt64(pairs)) }
  @inlinable public mutating func appendTag(_ number: UInt64) { appendHead(.tag, number) }
  @inlinable public mutating func appendBool(_ value: Bool) { append(value ? 0xf5 : 0xf4) }
  @inlinable public mutating func appendNull() { append(0xf6) }

  /// Writes a binary64 float (the preferred shorter forms are not used: the type on the wire was a double).
  @inlinable
  public mutating func appendDouble(_ value: Double) {
    append(0xfb)
    var bits = value.bitPattern.bigEndian
    withUnsafeBytes(of: &bits) { append($0) }
  }
}
