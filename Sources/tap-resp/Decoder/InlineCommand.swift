// Inline commands are split into words as redis-server does it (sdssplitargs in sds.c).

enum InlineCommand {
  /// The words of a line; empty for a blank line; nil where quotes are not balanced.
  static func split(_ line: UnsafeRawBufferPointer) -> [[UInt8]]? {
    let (words, rest) = wordsAndRest(line)
    return rest.isEmpty ? words : nil
  }

  /// The words of a line, and all of it from the word on whose quotes are not balanced.
  static func wordsAndRest(_ line: UnsafeRawBufferPointer) -> (words: [[UInt8]], rest: UnsafeRawBufferPointer) {
    var words: [[UInt8]] = []
    var position = 0
    while true {
      while position < line.count, isSpace(line[position]) { position += 1 }
      let start = position
      guard position < line.count, let word = readWord(line, &position) else {
        return (words, UnsafeRawBufferPointer(rebasing: line[start...]))
      }
      words.append(word)
    }
  }

  /// The characters that isspace(3) knows in the C locale.
  static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }

  private static func readWord(_ line: UnsafeRawBufferPointer, _ position: inout Int) -> [UInt8]? {
    var word: [UInt8] = []
    while position < line.count, !isSpace(line[position]), line[position] != 0 {
      switch line[position] {
      case UInt8(ascii: "\""):
        guard readQuoted(line, &position, into: &word) else { return nil }
        return word
      case UInt8(ascii: "'"):
        guard readSingleQuoted(line, &position, into: &word) else { return nil }
        return word
      default:
        word.append(line[position])
        position += 1
      }
    }
    // A NUL ends the line for redis-server, which keeps it as a C string.
    if position < line.count, line[position] == 0 { position = line.count }
    return word
  }

  private static func readQuoted(
    _ line: UnsafeRawBufferPointer, _ position: inout Int, into word: inout [UInt8]
  ) -> Bool {
    position += 1
    while position < line.count {
      let byte = line[position]
      position += 1
      if byte == UInt8(ascii: "\"") { return endsWord(line, position) }
      guard byte == UInt8(ascii: "\\"), position < line.count else {
        word.append(byte)
        continue
      }
      if line[position] == UInt8(ascii: "x"), position + 2 < line.count, let high = hexDigit(line[position + 1]),
        let low = hexDigit(line[position + 2])
      {
        word.append(high << 4 | low)
        position += 3
      } else {
        word.append(unescaped(line[position]))
        position += 1
      }
    }
    return false
  }

  private static func readSingleQuoted(
    _ line: UnsafeRawBufferPointer, _ position: inout Int, into word: inout [UInt8]
  ) -> Bool {
    position += 1
    while position < line.count {
      let byte = line[position]
      position += 1
      if byte == UInt8(ascii: "'") { return endsWord(line, position) }
      if byte == UInt8(ascii: "\\"), position < line.count, line[position] == UInt8(ascii: "'") {
        word.append(UInt8(ascii: "'"))
        position += 1
      } else {
        word.append(byte)
      }
    }
    return false
  }

  /// A closing quote must be followed by a space, or by nothing.
  private static func endsWord(_ line: UnsafeRawBufferPointer, _ position: Int) -> Bool {
    position == line.count || isSpace(line[position])
  }

  private static func unescaped(_ byte: UInt8) -> UInt8 {
    switch byte {
    case UInt8(ascii: "n"): return 0x0a
    case UInt8(ascii: "r"): return 0x0d
    case UInt8(ascii: "t"): return 0x09
    case UInt8(ascii: "b"): return 0x08
    case UInt8(ascii: "a"): return 0x07
    default: return byte
    }
  }

  private static func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: return byte - 0x30
    case 0x41...0x46: return byte - 0x37
    case 0x61...0x66: return byte - 0x57
    default: return nil
    }
  }
}
