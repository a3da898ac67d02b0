// Strings that lie whole in the input, written with their heads in one pass.
import TapWire

/// The length of a string, with the head that `storeHead` has written.
@inline(__always)
func stringItemBytes(_ item: UnsafeRawPointer) -> Int {
  let additional = item.load(as: UInt8.self) & 0x1f
  if additional < 24 { return 1 &+ Int(additional) }
  if additional == 24 { return 2 &+ Int(item.load(fromByteOffset: 1, as: UInt8.self)) }
  return 3 &+ Int(UInt16(bigEndian: item.loadUnaligned(fromByteOffset: 1, as: UInt16.self)))
}

/// The shortest head for an argument below 2^16.
@inline(__always)
func storeHead(_ major: CBORMajor, _ argument: UInt64, at target: UnsafeMutableRawPointer) -> Int {
  if argument < 24 {
    target.storeBytes(of: major.rawValue | UInt8(truncatingIfNeeded: argument), as: UInt8.self)
    return 1
  }
  if argument <= 0xff {
    target.storeBytes(of: major.rawValue | 24, as: UInt8.self)
    target.storeBytes(of: UInt8(truncatingIfNeeded: argument), toByteOffset: 1, as: UInt8.self)
    return 2
  }
  target.storeBytes(of: major.rawValue | 25, as: UInt8.self)
  target.storeBytes(of: UInt16(truncatingIfNeeded: argument).bigEndian, toByteOffset: 1, as: UInt16.self)
  return 3
}

/// Copies a string, and tells whether it is ASCII for certain.
///
/// The eight bytes before its end must be readable: in a message something stands before a shorter one. Up to seven bytes
/// behind its end are written, where the caller has room and writes again.
@inline(__always)
func copyChecking(_ source: UnsafeRawPointer, _ length: Int, to target: UnsafeMutableRawPointer) -> Bool {
  guard length < 8 else { return copyTellingASCII(from: source, to: target, bytes: length) }
  let word = lastBytes(source, length)
  target.storeBytes(of: word.littleEndian, as: UInt64.self)
  return word & 0x8080_8080_8080_8080 == 0
}

/// The bytes of a string of one to eight bytes, the first one lowest, by way of the word that ends where it ends.
/// What it returns for an empty string is meaningless.
@inline(__always)
private func lastBytes(_ source: UnsafeRawPointer, _ length: Int) -> UInt64 {
  let word = UInt64(littleEndian: source.loadUnaligned(fromByteOffset: length &- 8, as: UInt64.self))
  return word &>> UInt64(truncatingIfNeeded: 64 &- length &* 8)
}

/// Makes the string at `content` with a text's head at `head` one of bytes if it is no text.
@inline(never)
func chooseMajor(_ head: UnsafeMutableRawPointer, _ content: UnsafeMutableRawPointer, _ length: Int) {
  guard !isValidUTF8(UnsafeRawBufferPointer(start: content, count: length)) else { return }
  // The same head, of a byte string.
  head.storeBytes(of: head.load(as: UInt8.self) & ~0x20, as: UInt8.self)
}

/// Copies a command's name in upper case behind the text's `head`, which becomes one of bytes where the name is no text.
@inline(__always)
func copyName(
  _ source: UnsafeRawPointer, _ length: Int, to target: UnsafeMutableRawPointer, head: UnsafeMutableRawPointer
) -> CommandName {
  guard length <= 8 else { return copyLongName(source, length, to: target, head: head) }
  let word = lastBytes(source, length)
  guard word & 0x8080_8080_8080_8080 == 0 else { return copyLongName(source, length, to: target, head: head) }
  // In each byte the top bit is set where it is at least `a`, and where it is above `z`: lower case is one without the other.
  let fromA = word &+ 0x1f1f_1f1f_1f1f_1f1f
  let aboveZ = word &+ 0x0505_0505_0505_0505
  let isLower = (fromA & ~aboveZ & 0x8080_8080_8080_8080) >> 2
  let upper = word & ~isLower
  target.storeBytes(of: upper.littleEndian, as: UInt64.self)
  return CommandName(low: upper, length: length)
}

@inline(never)
private func copyLongName(
  _ source: UnsafeRawPointer, _ length: Int, to target: UnsafeMutableRawPointer, head: UnsafeMutableRawPointer
) -> CommandName {
  copyUpper(source, length, to: target)
  chooseMajor(head, target, length)
  return CommandName(UnsafeRawBufferPointer(start: target, count: length))
}

private func copyUpper(_ source: UnsafeRawPointer, _ length: Int, to target: UnsafeMutableRawPointer) {
  for index in 0..<length {
    let byte = source.load(fromByteOffset: index, as: UInt8.self)
    let isLower = byte &- 0x61 < 26
    target.storeBytes(of: isLower ? byte &- 0x20 : byte, toByteOffset: index, as: UInt8.self)
  }
}
