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
      if index == 0 {
        copyUpper(base + read, length, to: target)
        taken = CommandName(UnsafeRawBufferPointer(start: target, count: length))
      }
      let isText = index == 0 ? isASCII(target, length) : copyChecking(base + read, length, to: target)
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
@inline(__always)
func copyChecking(_ source: UnsafeRawPointer, _ length: Int, to target: UnsafeMutableRawPointer) -> Bool {
  if length > 64 {
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
  while done < length {
    let byte = source.load(fromByteOffset: done, as: UInt8.self)
    seen |= UInt64(byte)
    target.storeBytes(of: byte, toByteOffset: done, as: UInt8.self)
    done &+= 1
  }
  return seen & 0x8080_8080_8080_8080 == 0
}

@inline(__always)
private func isASCII(_ bytes: UnsafeMutableRawPointer, _ length: Int) -> Bool {
  asciiPrefixBytes(UnsafeRawBufferPointer(start: bytes, count: length), from: 0) == length
}

@inline(__always)
private func copyUpper(_ source: UnsafeRawPointer, _ length: Int, to target: UnsafeMutableRawPointer) {
  for index in 0..<length {
    let byte = source.load(fromByteOffset: index, as: UInt8.self)
    let isLower = byte &- 0x61 < 26
    target.storeBytes(of: isLower ? byte &- 0x20 : byte, toByteOffset: index, as: UInt8.self)
  }
}
