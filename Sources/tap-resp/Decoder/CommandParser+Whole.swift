// The common case by itself: a small command that lies whole in the input, taken in one pass. The state machine of
// CommandParser takes everything else, and what does not fit here is left to it untouched.
import Glibc
import TapWire

extension CommandParser {
  /// Longer commands gain nothing from it.
  private static var maximumBytes: Int { 16 << 10 }

  /// Takes the command at `position` if it is whole and well formed; else changes nothing and returns false.
  ///
  /// Every read is bounded by the `end` of the input. Written are at most 32 bytes more than were read, since a CBOR head
  /// is shorter than `$N\r\n` and CRLF: one reservation is enough.
  @inline(__always)
  mutating func takeWhole(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) -> Bool {
    guard let base = bytes.baseAddress else { return false }
    let end = min(bytes.count, position &+ CommandParser.maximumBytes)
    var read = position &+ 1
    guard let count = shortNumber(base, &read, end), count > 0 else { return false }
    writer.beginMessage()
    writer.bytes.reserve(end &- position &+ 32)
    let out = writer.bytes.unusedTail
    var written = 0
    out.storeBytes(of: 0xa2, as: UInt8.self)
    // The head of a text of seven bytes, and "command".
    out.storeBytes(of: 0x646e_616d_6d6f_6367, toByteOffset: 1, as: UInt64.self)
    written = 9
    var taken = CommandName()
    for index in 0..<count {
      guard read < end, base.load(fromByteOffset: read, as: UInt8.self) == UInt8(ascii: "$") else { return false }
      read &+= 1
      guard let length = shortNumber(base, &read, end), length &+ 2 <= end &- read, isLineEnd(base, read &+ length)
      else {
        return false
      }
      let head = storeHead(.textString, UInt64(truncatingIfNeeded: length), at: out + written)
      let target = out + written + head
      let isText: Bool
      if index == 0 {
        isText = copyName(base + read, length, to: target, readableBytes: end &- read, name: &taken)
      } else {
        isText = copyChecking(base + read, length, to: target, readableBytes: end &- read)
      }
      if !isText, !isValidUTF8(UnsafeRawBufferPointer(start: target, count: length)) {
        // The same head, of a byte string.
        let first = (out + written).load(as: UInt8.self)
        (out + written).storeBytes(of: first & ~0x20, as: UInt8.self)
      }
      written &+= head &+ length
      read &+= length &+ 2
      if index == 0 {
        // The head of a text of four bytes, and "args".
        out.storeBytes(of: 0x64, toByteOffset: written, as: UInt8.self)
        out.storeBytes(of: 0x7367_7261, toByteOffset: written &+ 1, as: UInt32.self)
        written &+= 5
        written &+= storeHead(.array, UInt64(truncatingIfNeeded: count &- 1), at: out + written)
      }
    }
    writer.bytes.useTail(written)
    finishWhole(name: taken, arguments: count &- 1)
    position = read
    return true
  }
}

/// A number of at most five digits and CRLF; nil where something else stands there, or not enough.
@inline(__always)
func shortNumber(_ base: UnsafeRawPointer, _ position: inout Int, _ end: Int) -> Int? {
  if end &- position >= 4 {
    // One or two digits and CRLF, which is nearly always.
    let word = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: position, as: UInt32.self))
    let first = (word & 0xff) &- 0x30
    guard first <= 9 else { return nil }
    if word >> 8 & 0xffff == 0x0a0d {
      position &+= 3
      return Int(first)
    }
    let second = (word >> 8 & 0xff) &- 0x30
    if second <= 9, word >> 16 == 0x0a0d {
      position &+= 4
      return Int(first &* 10 &+ second)
    }
  }
  return longerNumber(base, &position, end)
}

@inline(never)
private func longerNumber(_ base: UnsafeRawPointer, _ position: inout Int, _ end: Int) -> Int? {
  var value = 0
  var read = position
  let limit = min(end, position &+ 5)
  while read < limit {
    let digit = base.load(fromByteOffset: read, as: UInt8.self) &- 0x30
    if digit > 9 { break }
    value = value &* 10 &+ Int(digit)
    read &+= 1
  }
  guard read > position, read &+ 2 <= end, isLineEnd(base, read) else { return nil }
  position = read &+ 2
  return value
}

@inline(__always)
func isLineEnd(_ base: UnsafeRawPointer, _ position: Int) -> Bool {
  UInt16(littleEndian: base.loadUnaligned(fromByteOffset: position, as: UInt16.self)) == 0x0a0d
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

/// Copies bytes, and tells whether all of them are ASCII.
///
/// Short ones go word by word: up to 7 bytes more are read, if so many are readable, and written, where the caller has
/// room and writes again.
@inline(__always)
func copyChecking(
  _ source: UnsafeRawPointer, _ length: Int, to target: UnsafeMutableRawPointer, readableBytes: Int
) -> Bool {
  guard length <= 64, readableBytes >= (length &+ 7) & ~7 else {
    memcpy(target, source, length)
    return isASCII(target, length)
  }
  var seen: UInt64 = 0
  var done = 0
  while done &+ 8 <= length {
    let word = source.loadUnaligned(fromByteOffset: done, as: UInt64.self)
    seen |= word
    target.storeBytes(of: word, toByteOffset: done, as: UInt64.self)
    done &+= 8
  }
  if done < length {
    let word = source.loadUnaligned(fromByteOffset: done, as: UInt64.self)
    seen |= word & ((1 &<< UInt64((length &- done) &* 8)) &- 1)
    target.storeBytes(of: word, toByteOffset: done, as: UInt64.self)
  }
  return seen & 0x8080_8080_8080_8080 == 0
}

/// Copies a command's name in upper case; tells whether it is ASCII.
@inline(__always)
private func copyName(
  _ source: UnsafeRawPointer, _ length: Int, to target: UnsafeMutableRawPointer, readableBytes: Int,
  name: inout CommandName
) -> Bool {
  guard length <= 8, readableBytes >= 8, length > 0 else {
    copyUpper(source, length, to: target)
    name = CommandName(UnsafeRawBufferPointer(start: target, count: length))
    return isASCII(target, length)
  }
  let mask = UInt64.max &>> UInt64(64 &- length &* 8)
  let word = UInt64(littleEndian: source.loadUnaligned(as: UInt64.self)) & mask
  guard word & 0x8080_8080_8080_8080 == 0 else {
    copyUpper(source, length, to: target)
    name = CommandName(UnsafeRawBufferPointer(start: target, count: length))
    return false
  }
  // In each byte the top bit is set where it is at least `a`, and where it is above `z`: lower case is one without the other.
  let fromA = word &+ 0x1f1f_1f1f_1f1f_1f1f
  let aboveZ = word &+ 0x0505_0505_0505_0505
  let isLower = (fromA & ~aboveZ & 0x8080_8080_8080_8080) >> 2
  let upper = word & ~isLower
  target.storeBytes(of: upper.littleEndian, as: UInt64.self)
  name = CommandName(low: upper, length: length)
  return true
}

@inline(__always)
private func isASCII(_ bytes: UnsafeMutableRawPointer, _ length: Int) -> Bool {
  asciiPrefixBytes(UnsafeRawBufferPointer(start: bytes, count: length), from: 0) == length
}

private func copyUpper(_ source: UnsafeRawPointer, _ length: Int, to target: UnsafeMutableRawPointer) {
  for index in 0..<length {
    let byte = source.load(fromByteOffset: index, as: UInt8.self)
    let isLower = byte &- 0x61 < 26
    target.storeBytes(of: isLower ? byte &- 0x20 : byte, toByteOffset: index, as: UInt8.self)
  }
}
