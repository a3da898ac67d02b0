// Decides between text and byte strings: UTF-8 as Unicode and RFC 3629 define it, with a fast path for ASCII.
private import Wide

/// Whether `bytes` are well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF).
@inlinable
public func isValidUTF8(_ bytes: UnsafeRawBufferPointer) -> Bool {
  let position = asciiPrefixBytes(bytes, from: 0)
  return position == bytes.count || isValidUTF8Tail(bytes, from: position)
}

/// The position of the first byte at or behind `start` that is not ASCII, or `bytes.count`.
@inlinable
public func asciiPrefixBytes(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
  var position = start
  guard let base = bytes.baseAddress else { return position }
  while bytes.count &- position >= 32 {
    let a = base.loadUnaligned(fromByteOffset: position, as: SIMD4<UInt64>.self)
    if (a[0] | a[1] | a[2] | a[3]) & 0x8080_8080_8080_8080 != 0 { break }
    position &+= 32
  }
  while bytes.count &- position >= 8 {
    if base.loadUnaligned(fromByteOffset: position, as: UInt64.self) & 0x8080_8080_8080_8080 != 0 { break }
    position &+= 8
  }
  while position < bytes.count, bytes[position] < 0x80 { position &+= 1 }
  return position
}

/// Copies `count` bytes and returns whether all of them are ASCII: one pass where a copy and a check are two.
@inlinable
@inline(__always)
public func copyTellingASCII(
  from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer, bytes count: Int
) -> Bool {
  guard count >= 8, count <= 32 else { return copyAnyTellingASCII(from: source, to: target, bytes: count) }
  // Words from the beginning and from the end, which overlap where the length is no sum of whole ones.
  let first = source.loadUnaligned(as: UInt64.self)
  let last = source.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self)
  var seen = first | last
  if count > 16 {
    let second = source.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
    let third = source.loadUnaligned(fromByteOffset: count &- 16, as: UInt64.self)
    seen |= second | third
    target.storeBytes(of: second, toByteOffset: 8, as: UInt64.self)
    target.storeBytes(of: third, toByteOffset: count &- 16, as: UInt64.self)
  }
  target.storeBytes(of: first, as: UInt64.self)
  target.storeBytes(of: last, toByteOffset: count &- 8, as: UInt64.self)
  return seen & 0x8080_8080_8080_8080 == 0
}

@usableFromInline
@inline(never)
func copyAnyTellingASCII(
  from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer, bytes count: Int
) -> Bool {
  if count >= WIDE_COPY_LEAST_BYTES { return copy_telling_ascii(source, target, count) }
  var position = 0
  var rest: UInt64 = 0
  while count &- position >= 8 {
    let word = source.loadUnaligned(fromByteOffset: position, as: UInt64.self)
    target.storeBytes(of: word, toByteOffset: position, as: UInt64.self)
    rest |= word
    position &+= 8
  }
  while position < count {
    let byte = source.load(fromByteOffset: position, as: UInt8.self)
    target.storeBytes(of: byte, toByteOffset: position, as: UInt8.self)
    rest |= UInt64(byte)
    position &+= 1
  }
  return rest & 0x8080_8080_8080_8080 == 0
}

@usableFromInline
@inline(never)
func isValidUTF8Tail(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Bool {
  var position = start
  let count = bytes.count
  while position < count {
    let lead = bytes[position]
    if lead < 0x80 {
      position = asciiPrefixBytes(bytes, from: position)
      continue
    }
    let length = utf8ScalarBytes(bytes, at: position)
    if length == 0 { return false }
    position &+= length
  }
  return true
}

/// The length of the well-formed multi-byte sequence at `position` (2 to 4), or 0 where there is none.
///
/// The table is Unicode's 3-7, "Well-Formed UTF-8 Byte Sequences". Must not be called on an ASCII byte.
public func utf8ScalarBytes(_ bytes: UnsafeRawBufferPointer, at position: Int) -> Int {
  let left = bytes.count - position
  let lead = bytes[position]
  func continuation(_ index: Int, _ range: ClosedRange<UInt8> = 0x80...0xbf) -> Bool {
    range.contains(bytes[position + index])
  }
  switch lead {
  case 0xc2...0xdf:
    return left >= 2 && continuation(1) ? 2 : 0
  case 0xe0...0xef:
    let second: ClosedRange<UInt8> = lead == 0xe0 ? 0xa0...0xbf : lead == 0xed ? 0x80...0x9f : 0x80...0xbf
    return left >= 3 && continuation(1, second) && continuation(2) ? 3 : 0
  case 0xf0...0xf4:
    let second: ClosedRange<UInt8> = lead == 0xf0 ? 0x90...0xbf : lead == 0xf4 ? 0x80...0x8f : 0x80...0xbf
    return left >= 4 && continuation(1, second) && continuation(2) && continuation(3) ? 4 : 0
  default:
    return 0
  }
}
