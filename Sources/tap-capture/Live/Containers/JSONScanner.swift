// Finds a few values in a JSON text (RFC 8259) of any length, within fixed memory: runtimes write files of megabytes, and whoever
// plays a runtime writes what costs a parser most. What nobody asks for is passed over without being checked.
import Glibc

struct JSONScanner: ~Copyable {
  /// Names of members; a longer one is told as nil.
  static let maximumNameBytes = 1024
  private static let chunkBytes = 64 << 10

  private var chunk: [UInt8]
  private var position = 0
  /// Of the chunk, in the text.
  private var chunkOffset = 0
  /// Where the next chunk comes from; negative if there is none.
  private let descriptor: Int32
  private var unreadBytes: Int
  /// The text is none, or ends in its middle: what was found in it is worth nothing.
  private(set) var isMalformed = false

  init(_ text: [UInt8]) {
    chunk = text
    descriptor = -1
    unreadBytes = 0
  }

  /// The text is what is left to read of an open file, of `limitBytes` at most.
  init(descriptor: Int32, limitBytes: Int) {
    chunk = []
    self.descriptor = descriptor
    unreadBytes = limitBytes
  }

  // MARK: Values

  /// Calls `body` for each member of the object that comes next, with the scanner before its value. A value that `body` does not
  /// read is passed over, and so is a value that is no object.
  mutating func readObject(_ body: (inout JSONScanner, _ name: String?) -> Void) {
    readElements(open: UInt8(ascii: "{"), close: UInt8(ascii: "}")) { scanner in
      guard scanner.peek() == UInt8(ascii: "\"") else { return scanner.fail() }
      let name = scanner.readString(limitBytes: Self.maximumNameBytes)
      guard scanner.next() == UInt8(ascii: ":") else { return scanner.fail() }
      scanner.readOrSkip { body(&$0, name) }
    }
  }

  /// The same for each element of an array.
  mutating func readArray(_ body: (inout JSONScanner) -> Void) {
    readElements(open: UInt8(ascii: "["), close: UInt8(ascii: "]")) { $0.readOrSkip(body) }
  }

  /// nil where the value is no string, or a longer one. It is passed over all the same.
  mutating func readString(limitBytes: Int) -> String? {
    guard peek() == UInt8(ascii: "\"") else {
      skipValue()
      return nil
    }
    position += 1
    var text: [UInt8] = []
    var isTooLong = false
    while let byte = nextByte(), byte != UInt8(ascii: "\"") {
      if text.count > limitBytes { isTooLong = true }
      if isTooLong {
        if byte == UInt8(ascii: "\\") { _ = nextByte() }
      } else if byte == UInt8(ascii: "\\") {
        appendEscaped(to: &text)
      } else {
        text.append(byte)
      }
    }
    return isMalformed || isTooLong || text.count > limitBytes ? nil : String(decoding: text, as: UTF8.self)
  }

  mutating func skipValue() {
    var depth = 0
    repeat {
      switch next() {
      case UInt8(ascii: "\""): skipString()
      case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
      case UInt8(ascii: ","), UInt8(ascii: ":"): if depth == 0 { fail() }
      case nil: fail()
      default: skipLiteral()
      }
      if depth < 0 { fail() }
    } while depth > 0 && !isMalformed
  }

  // MARK: Parts of values

  private mutating func readElements(open: UInt8, close: UInt8, _ body: (inout JSONScanner) -> Void) {
    guard peek() == open else { return skipValue() }
    position += 1
    guard peek() != close else {
      position += 1
      return
    }
    while !isMalformed {
      body(&self)
      switch next() {
      case UInt8(ascii: ","): continue
      case close: return
      default: fail()
      }
    }
  }

  private mutating func readOrSkip(_ body: (inout JSONScanner) -> Void) {
    let start = chunkOffset + position
    body(&self)
    if chunkOffset + position == start { skipValue() }
  }

  /// Behind its quotation mark.
  private mutating func skipString() {
    while let byte = nextByte(), byte != UInt8(ascii: "\"") {
      if byte == UInt8(ascii: "\\") { _ = nextByte() }
    }
  }

  /// A number, or `true`, `false`, `null`.
  private mutating func skipLiteral() {
    while position < chunk.count || fill() {
      switch chunk[position] {
      case UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"), 0x20, 0x0a, 0x0d, 0x09: return
      default: position += 1
      }
    }
  }

  /// Behind the backslash (RFC 8259 section 7). Half of a surrogate pair becomes U+FFFD.
  private mutating func appendEscaped(to text: inout [UInt8]) {
    switch nextByte() {
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0c)
    case UInt8(ascii: "n"): text.append(0x0a)
    case UInt8(ascii: "r"): text.append(0x0d)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "u"):
      guard let unit = readUTF16Unit() else { return fail() }
      guard UTF16.isLeadSurrogate(unit) else { return append(unit, to: &text) }
      guard position < chunk.count || fill(), chunk[position] == UInt8(ascii: "\\") else {
        return append(unit, to: &text)
      }
      position += 1
      guard position < chunk.count || fill(), chunk[position] == UInt8(ascii: "u") else {
        append(unit, to: &text)
        return appendEscaped(to: &text)
      }
      position += 1
      guard let second = readUTF16Unit() else { return fail() }
      if UTF16.isTrailSurrogate(second) {
        text += String(decoding: [unit, second], as: UTF16.self).utf8
      } else {
        append(unit, to: &text)
        append(second, to: &text)
      }
    case let byte?: text.append(byte)
    case nil: fail()
    }
  }

  private func append(_ unit: UInt16, to text: inout [UInt8]) { text += String(decoding: [unit], as: UTF16.self).utf8 }

  private mutating func readUTF16Unit() -> UInt16? {
    var unit: UInt16 = 0
    for _ in 0..<4 {
      guard let digit = nextByte().flatMap({ Character(UnicodeScalar($0)).hexDigitValue }) else { return nil }
      unit = unit << 4 | UInt16(digit)
    }
    return unit
  }

  // MARK: Bytes

  private mutating func fail() { isMalformed = true }

  /// The next byte that is no white space, without taking it.
  private mutating func peek() -> UInt8? {
    while position < chunk.count || fill() {
      switch chunk[position] {
      case 0x20, 0x0a, 0x0d, 0x09: position += 1
      case let byte: return byte
      }
    }
    return nil
  }

  /// The next byte that is no white space.
  private mutating func next() -> UInt8? {
    guard let byte = peek() else { return nil }
    position += 1
    return byte
  }

  /// The next byte of a string.
  private mutating func nextByte() -> UInt8? {
    guard position < chunk.count || fill() else {
      fail()
      return nil
    }
    defer { position += 1 }
    return chunk[position]
  }

  /// Reads on in the file; false at its end.
  private mutating func fill() -> Bool {
    guard descriptor >= 0, !isMalformed else { return false }
    chunkOffset += chunk.count
    position = 0
    let wanted = min(Self.chunkBytes, unreadBytes)
    chunk = wanted > 0 ? readContent(of: descriptor, limitBytes: wanted) ?? [] : []
    unreadBytes -= chunk.count
    return !chunk.isEmpty
  }
}
