// Strings in JSON (RFC 8259, section 7): clean runs are copied eight bytes at a time, and bytes that are no text are kept.
import TapWire

extension TextSink where Self: ~Copyable {
  /// Writes `bytes` as a JSON string, or as `{"base64":"…"}` where they are not well-formed UTF-8.
  ///
  /// The content decides, not the type that the writer chose on the wire: nothing from there is trusted to be UTF-8.
  @inline(__always)
  mutating func appendJSONString(_ bytes: UnsafeRawBufferPointer) {
    // Most strings are short ASCII that needs no escape: they are looked at once, while they are copied.
    var isCopied = false
    if bytes.count <= copiedStringBytes {
      write(upTo: bytes.count &+ 2) { target in
        isCopied = copyPlainASCII(bytes, betweenQuotesAt: target)
        return isCopied ? bytes.count &+ 2 : 0
      }
    }
    if !isCopied { appendAnyJSONString(bytes) }
  }

  @inline(never)
  private mutating func appendAnyJSONString(_ bytes: UnsafeRawBufferPointer) {
    guard isValidUTF8(bytes) else {
      append("{\"base64\":\"")
      appendBase64(bytes)
      append("\"}")
      return
    }
    append(UInt8(ascii: "\""))
    appendEscaped(bytes)
    append(UInt8(ascii: "\""))
  }

  /// Writes UTF-8 with what a JSON string cannot hold escaped.
  private mutating func appendEscaped(_ bytes: UnsafeRawBufferPointer) {
    var rest = bytes
    while true {
      // A character is in one part.
      var partBytes = min(rest.count, escapedPartBytes)
      while partBytes < rest.count, rest[partBytes] & 0xc0 == 0x80 { partBytes &-= 1 }
      let part = UnsafeRawBufferPointer(rebasing: rest.prefix(partBytes))
      // An escape takes at most 6 bytes for one; whole words are stored, so there may be 8 more behind the end.
      write(upTo: part.count &* 6 &+ 8) { target in escapeJSON(part, into: target) }
      if part.count == rest.count { return }
      rest = UnsafeRawBufferPointer(rebasing: rest[part.count...])
      drain()
    }
  }

  /// Writes `bytes` in base64 with padding (RFC 4648, section 4).
  mutating func appendBase64(_ bytes: UnsafeRawBufferPointer) {
    var rest = bytes
    while !rest.isEmpty {
      let part = UnsafeRawBufferPointer(rebasing: rest.prefix(base64PartBytes))
      write(upTo: (part.count + 2) / 3 * 4) { target in encodeBase64(part, into: target) }
      rest = UnsafeRawBufferPointer(rebasing: rest[part.count...])
      drain()
    }
  }
}

/// Longer strings are validated and escaped in two passes, which costs them little.
private let copiedStringBytes = 4096
/// What is escaped before the sink may write: its sixfold fits the output's buffer.
private let escapedPartBytes = 16 << 10
/// A multiple of 3, so that padding stands at the end only.
private let base64PartBytes = 48 << 10

/// Copies `source` with quotation marks around it if it is ASCII that needs no escape; otherwise returns false.
@inline(__always)
private func copyPlainASCII(
  _ source: UnsafeRawBufferPointer, betweenQuotesAt target: UnsafeMutableBufferPointer<UInt8>
) -> Bool {
  guard let quoted = UnsafeMutableRawPointer(target.baseAddress) else { return false }
  let count = source.count
  quoted.storeBytes(of: UInt8(ascii: "\""), as: UInt8.self)
  quoted.storeBytes(of: UInt8(ascii: "\""), toByteOffset: count &+ 1, as: UInt8.self)
  guard let from = source.baseAddress, count > 0 else { return true }
  let to = quoted + 1
  // The last step of each size overlaps what is copied already, so that no loop over single bytes is needed.
  if count >= 8 {
    var position = 0
    while position < count {
      let step = min(position, count &- 8)
      let word = from.loadUnaligned(fromByteOffset: step, as: UInt64.self)
      to.storeBytes(of: word, toByteOffset: step, as: UInt64.self)
      if !isPlainASCII(word) { return false }
      position &+= 8
    }
    return true
  }
  if count >= 4 {
    let first = from.loadUnaligned(as: UInt32.self)
    let last = from.loadUnaligned(fromByteOffset: count &- 4, as: UInt32.self)
    to.storeBytes(of: first, as: UInt32.self)
    to.storeBytes(of: last, toByteOffset: count &- 4, as: UInt32.self)
    let word = UInt64(first) | UInt64(last) &<< 32
    return isPlainASCII(word)
  }
  for index in 0..<count {
    let byte = from.load(fromByteOffset: index, as: UInt8.self)
    to.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
    if byte < 0x20 || byte >= 0x7f || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { return false }
  }
  return true
}

/// Escapes `source`, whole characters of UTF-8, and returns the bytes written; `target` holds at least 6 for each and 8 more.
private func escapeJSON(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableBufferPointer<UInt8>) -> Int {
  guard let from = source.baseAddress, let to = UnsafeMutableRawPointer(target.baseAddress) else { return 0 }
  let count = source.count
  let mayHide = mayHoldHiddenCharacters(source)
  var read = 0
  var written = 0
  while count &- read >= 8 {
    let word = UInt64(littleEndian: from.loadUnaligned(fromByteOffset: read, as: UInt64.self))
    to.storeBytes(of: word.littleEndian, toByteOffset: written, as: UInt64.self)
    var marks = bytesToEscape(word)
    if mayHide { marks |= bytesThatMayBegin(hiddenCharactersIn: word) }
    if marks == 0 {
      read &+= 8
      written &+= 8
    } else {
      let clean = marks.trailingZeroBitCount &>> 3
      read &+= clean
      written &+= clean
      let byte = from.load(fromByteOffset: read, as: UInt8.self)
      if byte < 0x7f {
        written &+= storeEscape(byte, at: to + written)
        read &+= 1
      } else {
        storeCharacter(from, &read, to, &written)
      }
    }
  }
  while read < count { storeCharacter(from, &read, to, &written) }
  return written
}

/// Copies what begins at `read` of `from`: a byte, or an escape for a whole character.
private func storeCharacter(
  _ from: UnsafeRawPointer, _ read: inout Int, _ to: UnsafeMutableRawPointer, _ written: inout Int
) {
  let byte = from.load(fromByteOffset: read, as: UInt8.self)
  if byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
    written &+= storeEscape(byte, at: to + written)
    read &+= 1
  } else if let hidden = HiddenCharacter(from + read) {
    storeEscape(unit: hidden.unit, at: to + written)
    written &+= 6
    read &+= hidden.bytes
  } else {
    to.storeBytes(of: byte, toByteOffset: written, as: UInt8.self)
    written &+= 1
    read &+= 1
  }
}

/// A character that JSON allows and a terminal may obey: DEL, the controls U+0080 to U+009F, and those that set the
/// direction of the text around them (CVE-2021-42574).
private struct HiddenCharacter {
  /// Its UTF-16 code unit, which the escape gives.
  let unit: UInt16
  /// Of its UTF-8.
  let bytes: Int

  /// What begins at `start`; nil for any other character. Well-formed UTF-8: what its first byte announces is there.
  init?(_ start: UnsafeRawPointer) {
    func byte(_ offset: Int) -> UInt8 { start.load(fromByteOffset: offset, as: UInt8.self) }
    switch byte(0) {
    case 0x7f: self.init(unit: 0x7f, bytes: 1)
    case 0xc2 where byte(1) < 0xa0: self.init(unit: UInt16(byte(1)), bytes: 2)
    // ARABIC LETTER MARK
    case 0xd8 where byte(1) == 0x9c: self.init(unit: 0x061c, bytes: 2)
    case 0xe2:
      switch (byte(1), byte(2)) {
      // LEFT-TO-RIGHT MARK and RIGHT-TO-LEFT MARK, embeddings and overrides
      case (0x80, 0x8e...0x8f), (0x80, 0xaa...0xae): self.init(unit: 0x2000 | UInt16(byte(2) & 0x3f), bytes: 3)
      // Isolates
      case (0x81, 0xa6...0xa9): self.init(unit: 0x2040 | UInt16(byte(2) & 0x3f), bytes: 3)
      default: return nil
      }
    default: return nil
    }
  }

  private init(unit: UInt16, bytes: Int) {
    self.unit = unit
    self.bytes = bytes
  }
}

/// Sets the top bit of each byte of `word` that is a control character, a quotation mark or a backslash.
///
/// Only the lowest mark is exact: a borrow may mark bytes above it.
@inline(__always)
private func bytesToEscape(_ word: UInt64) -> UInt64 {
  let ones: UInt64 = 0x0101_0101_0101_0101
  let quotes = word ^ (ones &* UInt64(UInt8(ascii: "\"")))
  let backslashes = word ^ (ones &* UInt64(UInt8(ascii: "\\")))
  let controlMarks = (word &- ones &* 0x20) & ~word
  let quoteMarks = (quotes &- ones) & ~quotes
  let backslashMarks = (backslashes &- ones) & ~backslashes
  return (controlMarks | quoteMarks | backslashMarks) & (ones &* 0x80)
}

/// Whether the bytes of `word` are printable ASCII without quotation marks and backslashes.
@inline(__always)
private func isPlainASCII(_ word: UInt64) -> Bool {
  let ones: UInt64 = 0x0101_0101_0101_0101
  // One more each: DEL then has a top bit, like what is not ASCII, and 0xff is taken for a control character.
  let next = word &+ ones
  let quotes = next ^ (ones &* UInt64(UInt8(ascii: "\"") + 1))
  let backslashes = next ^ (ones &* UInt64(UInt8(ascii: "\\") + 1))
  let controlMarks = (next &- ones &* 0x21) & ~next
  let quoteMarks = (quotes &- ones) & ~quotes
  let backslashMarks = (backslashes &- ones) & ~backslashes
  return (controlMarks | quoteMarks | backslashMarks | next) & (ones &* 0x80) == 0
}

/// Whether a byte is DEL or not ASCII: one quick look for most texts, in which nothing is hidden.
private func mayHoldHiddenCharacters(_ text: UnsafeRawBufferPointer) -> Bool {
  var bits: UInt8 = 0
  for byte in text { bits |= byte | (byte &+ 1) }
  return bits >= 0x80
}

/// Sets the top bit of each byte of `word`, part of well-formed UTF-8, with which a `HiddenCharacter` may begin.
///
/// Only the lowest mark is exact.
@inline(__always)
private func bytesThatMayBegin(hiddenCharactersIn word: UInt64) -> UInt64 {
  let ones: UInt64 = 0x0101_0101_0101_0101
  func zeros(_ difference: UInt64) -> UInt64 { (difference &- ones) & ~difference }
  // 0xc2 and 0xe2 differ in one bit.
  let leads = zeros((word & (ones &* 0xdf)) ^ (ones &* 0xc2)) | zeros(word ^ (ones &* 0xd8))
  return (leads | (word &+ ones) & ~word) & (ones &* 0x80)
}

/// Writes the escape of one byte, 2 or 6 bytes long, and returns its length.
private func storeEscape(_ byte: UInt8, at target: UnsafeMutableRawPointer) -> Int {
  let short: UInt8
  switch byte {
  case UInt8(ascii: "\""), UInt8(ascii: "\\"): short = byte
  case 0x08: short = UInt8(ascii: "b")
  case 0x09: short = UInt8(ascii: "t")
  case 0x0a: short = UInt8(ascii: "n")
  case 0x0c: short = UInt8(ascii: "f")
  case 0x0d: short = UInt8(ascii: "r")
  default:
    storeEscape(unit: UInt16(byte), at: target)
    return 6
  }
  target.storeBytes(of: (UInt8(ascii: "\\"), short), as: (UInt8, UInt8).self)
  return 2
}

/// Writes `\u` and the four digits of a UTF-16 code unit.
private func storeEscape(unit: UInt16, at target: UnsafeMutableRawPointer) {
  func digit(_ shift: UInt16) -> UInt8 { hexadecimalDigit(UInt8(truncatingIfNeeded: unit >> shift) & 0xf) }
  target.storeBytes(of: (UInt8(ascii: "\\"), UInt8(ascii: "u")), as: (UInt8, UInt8).self)
  let digits = (digit(12), digit(8), digit(4), digit(0))
  target.storeBytes(of: digits, toByteOffset: 2, as: (UInt8, UInt8, UInt8, UInt8).self)
}

/// Encodes `source` and returns the bytes written; `target` holds 4 for each 3 begun.
private func encodeBase64(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableBufferPointer<UInt8>) -> Int {
  let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  let digits = alphabet.utf8Start
  var read = 0
  var written = 0
  while read < source.count {
    let left = source.count &- read
    var group = UInt32(source[read]) << 16
    if left > 1 { group |= UInt32(source[read &+ 1]) << 8 }
    if left > 2 { group |= UInt32(source[read &+ 2]) }
    target[written] = digits[Int(group >> 18)]
    target[written &+ 1] = digits[Int(group >> 12 & 0x3f)]
    target[written &+ 2] = left > 1 ? digits[Int(group >> 6 & 0x3f)] : UInt8(ascii: "=")
    target[written &+ 3] = left > 2 ? digits[Int(group & 0x3f)] : UInt8(ascii: "=")
    read &+= 3
    written &+= 4
  }
  return written
}
