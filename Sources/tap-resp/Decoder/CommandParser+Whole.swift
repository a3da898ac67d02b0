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
    guard let count = shortNumber(base, &read, end), count > 0,
      let nameBytes = bulkLength(base, &read, end), nameBytes > 0
    else { return false }
    writer.beginMessage()
    writer.bytes.reserve(end &- position &+ 32)
    let start = writer.bytes.unusedTail
    start.storeBytes(of: 0xa2, as: UInt8.self)
    // The head of a text of seven bytes, and "command".
    start.storeBytes(of: 0x646e_616d_6d6f_6367, toByteOffset: 1, as: UInt64.self)
    let head = start + 9
    var out = head + storeHead(.textString, UInt64(truncatingIfNeeded: nameBytes), at: head)
    let taken = copyName(base + read, nameBytes, to: out, head: head)
    out += nameBytes
    read &+= nameBytes &+ 2
    // The head of a text of four bytes, and "args".
    out.storeBytes(of: 0x64, as: UInt8.self)
    out.storeBytes(of: 0x7367_7261, toByteOffset: 1, as: UInt32.self)
    out += 5
    out += storeHead(.array, UInt64(truncatingIfNeeded: count &- 1), at: out)
    guard takeArguments(count &- 1, base, &read, end, &out) else { return false }
    writer.bytes.useTail(start.distance(to: out))
    finishWhole(name: taken, arguments: count &- 1)
    position = read
    return true
  }

  /// The same for the commands in a row that begin in known shapes, at most `limit` of them: nothing is special about any.
  /// `note` gets the length of each one's map, and of the annotations behind it.
  @inline(__always)
  mutating func takeShaped(
    _ bytes: UnsafeRawBufferPointer, _ position: inout Int, _ shapes: inout CommandShapes, limit: Int,
    _ note: (_ mapBytes: Int, _ annotationBytes: Int) -> Void
  ) {
    guard let base = bytes.baseAddress else { return }
    var left = limit
    var target = writer.bytes.unusedTail
    var room = writer.bytes.unusedBytes
    while left > 0, bytes.count &- position >= 16, let shape = shapes.find(base + position) {
      let end = min(bytes.count, position &+ CommandParser.maximumBytes)
      // The keys are a part of the arguments, so that twice their length is enough for both.
      let wanted = 2 &* (end &- position) &+ 96
      if room < wanted {
        writer.endWholeMessages(target)
        writer.bytes.reserve(wanted)
        target = writer.bytes.unusedTail
        room = writer.bytes.unusedBytes
      }
      var read = position &+ shape.pointee.inputBytes
      shape.pointee.store(at: target)
      var out = target + shape.pointee.mapBytes
      let arguments = out
      guard takeArguments(shape.pointee.argumentCount, base, &read, end, &out) else { break }
      let mapBytes = target.distance(to: out)
      shape.pointee.storeAnnotations(at: out)
      out += shape.pointee.annotationBytes
      if shape.pointee.keys != 0, !storeKeys(shape.pointee.keys, of: arguments, &out) { break }
      let heldBytes = target.distance(to: out)
      note(mapBytes, heldBytes &- mapBytes)
      room &-= heldBytes
      target = out
      position = read
      left &-= 1
    }
    writer.endWholeMessages(target)
  }

  /// Writes the keys among the arguments that begin at `arguments`; false where one of them is too long to be whole.
  @inline(__always)
  private func storeKeys(
    _ keys: UInt8, of arguments: UnsafeMutableRawPointer, _ target: inout UnsafeMutableRawPointer
  ) -> Bool {
    var item = UnsafeRawPointer(arguments)
    var left = keys
    while left != 0 {
      let length = stringItemBytes(item)
      if left & 1 == 1 {
        guard length <= RESPLimits.keyBytes else { return false }
        // Both ends lie inside of the buffer, with room behind them.
        if length <= 16 { copyPiece(item, target, at: 0) } else { copyMap(from: item, to: target, bytes: length) }
        target += length
      }
      item += length
      left >>= 1
    }
    return true
  }

  /// Takes so many arguments and writes them; false where they are not all there or not well formed.
  @inline(__always)
  private func takeArguments(
    _ count: Int, _ base: UnsafeRawPointer, _ position: inout Int, _ end: Int,
    _ target: inout UnsafeMutableRawPointer
  ) -> Bool {
    var left = count
    while left > 0 {
      guard let length = bulkLength(base, &position, end) else { return false }
      let head = target
      target += storeHead(.textString, UInt64(truncatingIfNeeded: length), at: target)
      if !copyChecking(base + position, length, to: target) {
        chooseMajor(head, target, length)
      }
      target += length
      position &+= length &+ 2
      left &-= 1
    }
    return true
  }
}

/// The length of a string, with the head that `storeHead` has written.
@inline(__always)
private func stringItemBytes(_ item: UnsafeRawPointer) -> Int {
  let additional = item.load(as: UInt8.self) & 0x1f
  if additional < 24 { return 1 &+ Int(additional) }
  if additional == 24 { return 2 &+ Int(item.load(fromByteOffset: 1, as: UInt8.self)) }
  return 3 &+ Int(UInt16(bigEndian: item.loadUnaligned(fromByteOffset: 1, as: UInt16.self)))
}

/// `$N\r\n` with N of at most five digits, where N bytes and CRLF follow before `end`; nil for anything else.
@inline(__always)
private func bulkLength(_ base: UnsafeRawPointer, _ position: inout Int, _ end: Int) -> Int? {
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
private func copyName(
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
