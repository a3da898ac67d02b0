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
      let part = UnsafeRawBufferPointer(rebasing: rest.prefix(escapedPartBytes))
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
      if bytesToEscape(word) | (word & 0x8080_8080_8080_8080) != 0 { return false }
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
    return bytesToEscape(word) | (word & 0x8080_8080_8080_8080) == 0
  }
  for index in 0..<count {
    let byte = from.load(fromByteOffset: index, as: UInt8.self)
    to.storeBytes(of: byte, toByteOffset: index, as: UInt8.self)
    if byte < 0x20 || byte >= 0x80 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { return false }
  }
  return true
}

/// Escapes `source` and returns the bytes written; `target` holds at least 6 for each and 8 more.
private func escapeJSON(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableBufferPointer<UInt8>) -> Int {
  guard let from = source.baseAddress, let to = UnsafeMutableRawPointer(target.baseAddress) else { return 0 }
  let count = source.count
  var read = 0
  var written = 0
  while count &- read >= 8 {
    let word = UInt64(littleEndian: from.loadUnaligned(fromByteOffset: read, as: UInt64.self))
    to.storeBytes(of: word.littleEndian, toByteOffset: written, as: UInt64.self)
    let marks = bytesToEscape(word)
    if marks == 0 {
      read &+= 8
      written &+= 8
    } else {
      let clean = marks.trailingZeroBitCount &>> 3
      read &+= clean
      written &+= clean
      written &+= storeEscape(from.load(fromByteOffset: read, as: UInt8.self), at: to + written)
      read &+= 1
    }
  }
  while read < count {
    let byte = from.load(fromByteOffset: read, as: UInt8.self)
    read &+= 1
    if byte >= 0x20, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") {
      to.storeBytes(of: byte, toByteOffset: written, as: UInt8.self)
      written &+= 1
    } else {
      written &+= storeEscape(byte, at: to + written)
    }
  }
  return written
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
    let digits = (UInt8(ascii: "0"), UInt8(ascii: "0"), hexadecimalDigit(byte >> 4), hexadecimalDigit(byte & 0xf))
    target.storeBytes(of: (UInt8(ascii: "\\"), UInt8(ascii: "u")), as: (UInt8, UInt8).self)
    target.storeBytes(of: digits, toByteOffset: 2, as: (UInt8, UInt8, UInt8, UInt8).self)
    return 6
  }
  target.storeBytes(of: (UInt8(ascii: "\\"), short), as: (UInt8, UInt8).self)
  return 2
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
