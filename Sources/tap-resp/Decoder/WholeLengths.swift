// The lengths before strings, where the whole line lies in the input: nearly always one or two digits, read without branches.

/// `$N\r\n` with N of at most five digits, where N bytes and CRLF follow before `end`; nil for anything else.
@inline(__always)
func bulkLength(_ base: UnsafeRawPointer, _ position: inout Int, _ end: Int) -> Int? {
  guard end &- position >= 5, base.load(fromByteOffset: position, as: UInt8.self) == UInt8(ascii: "$"),
    let line = smallNumber(base + position + 1)
  else { return lateBulkLength(base, &position, end) }
  let start = position &+ 1 &+ line.bytes
  guard line.value &+ 2 <= end &- start, isLineEnd(base, start &+ line.value) else { return nil }
  position = start
  return line.value
}

/// The same for longer numbers, and at the end of the input.
@inline(never)
private func lateBulkLength(_ base: UnsafeRawPointer, _ position: inout Int, _ end: Int) -> Int? {
  guard position < end, base.load(fromByteOffset: position, as: UInt8.self) == UInt8(ascii: "$") else { return nil }
  var start = position &+ 1
  guard let length = shortNumber(base, &start, end), length &+ 2 <= end &- start, isLineEnd(base, start &+ length)
  else { return nil }
  position = start
  return length
}

/// A number of at most five digits and CRLF; nil where something else stands there, or not enough.
@inline(__always)
func shortNumber(_ base: UnsafeRawPointer, _ position: inout Int, _ end: Int) -> Int? {
  guard end &- position >= 4, let line = smallNumber(base + position) else {
    return longerNumber(base, &position, end)
  }
  position &+= line.bytes
  return line.value
}

/// One or two digits and CRLF, which is nearly always, and the length of that line; nil for anything else. Which of both it
/// is changes from string to string: nothing branches on it. Four bytes must be readable.
@inline(__always)
private func smallNumber(_ text: UnsafeRawPointer) -> (value: Int, bytes: Int)? {
  let word = UInt32(littleEndian: text.loadUnaligned(as: UInt32.self))
  let isOneDigit = word & 0xff_ff00 == 0x0a_0d00
  // With a zero before the one digit.
  let line = isOneDigit ? word << 8 | 0x30 : word
  // The digits' values in the two lowest bytes, and zero in the others; a byte is above 9 if it has its top bit now, or with
  // 0x76 added to it.
  let digits = line ^ 0x0a0d_3030
  let above9 = digits | ((digits & 0xffff) &+ 0x7676)
  guard above9 & 0xffff_8080 == 0 else { return nil }
  return (Int(digits & 0xff) &* 10 &+ Int(digits >> 8), isOneDigit ? 3 : 4)
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
