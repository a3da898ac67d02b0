// Globs that match what they match in redis-server's KEYS (util.c, stringmatchlen), in bounded time.

/// A pattern over the bytes of a key: `*`, `?`, `[a-z]`, `[^a]`, and `\` in front of what is meant as it stands.
///
/// Any string is a pattern, as for KEYS. Matching takes at most the length of the key times that of the pattern.
package struct Glob: Sendable {
  /// The bytes that one place of the key may hold.
  private struct Bytes {
    var bits: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    static let all = Bytes(bits: (.max, .max, .max, .max))

    mutating func insert(_ byte: UInt8) {
      let bit: UInt64 = 1 << UInt64(byte & 63)
      switch byte >> 6 {
      case 0: bits.0 |= bit
      case 1: bits.1 |= bit
      case 2: bits.2 |= bit
      default: bits.3 |= bit
      }
    }

    mutating func invert() { bits = (~bits.0, ~bits.1, ~bits.2, ~bits.3) }

    func contains(_ byte: UInt8) -> Bool {
      let word =
        switch byte >> 6 {
        case 0: bits.0
        case 1: bits.1
        case 2: bits.2
        default: bits.3
        }
      return word >> UInt64(byte & 63) & 1 == 1
    }
  }

  private enum Part {
    case anything
    case one(Bytes)
  }

  private var parts: [Part] = []
  /// KEYS does not match at all where the pattern is a single star.
  private let isEverything: Bool

  package init(_ pattern: String) { self.init(Array(pattern.utf8)) }

  package init(_ pattern: [UInt8]) {
    isEverything = pattern == [UInt8(ascii: "*")]
    var rest = pattern[...]
    while let byte = rest.popFirst() {
      var bytes = Bytes()
      switch byte {
      case UInt8(ascii: "*"):
        if case .anything? = parts.last { continue }
        parts.append(.anything)
        continue
      case UInt8(ascii: "?"): bytes = .all
      case UInt8(ascii: "["): bytes = Glob.readClass(&rest)
      // A backslash at the end stands for itself.
      case UInt8(ascii: "\\"): bytes.insert(rest.popFirst() ?? byte)
      default: bytes.insert(byte)
      }
      parts.append(.one(bytes))
    }
  }

  /// What stands between brackets, up to the closing one or to the end of the pattern.
  private static func readClass(_ rest: inout ArraySlice<UInt8>) -> Bytes {
    var bytes = Bytes()
    let isInverted = rest.first == UInt8(ascii: "^")
    if isInverted { rest.removeFirst() }
    while let byte = rest.popFirst(), byte != UInt8(ascii: "]") {
      if byte == UInt8(ascii: "\\"), let escaped = rest.popFirst() {
        bytes.insert(escaped)
      } else if rest.count >= 2, rest.first == UInt8(ascii: "-") {
        let end = rest[rest.startIndex + 1]
        rest.removeFirst(2)
        // The server compares `char`, which has a sign on x86-64; either end may be the smaller one.
        let (first, last) = (Int8(bitPattern: byte), Int8(bitPattern: end))
        for value in min(first, last)...max(first, last) { bytes.insert(UInt8(bitPattern: value)) }
      } else {
        bytes.insert(byte)
      }
    }
    if isInverted { bytes.invert() }
    return bytes
  }

  /// Whether the whole key matches.
  package func matches(_ key: UnsafeRawBufferPointer) -> Bool {
    // The server looks at no pattern beside an empty key: `**` does not match it, and `*` only because KEYS knows that one.
    if key.isEmpty { return isEverything || parts.isEmpty }
    var part = 0
    var position = 0
    // Where to go on behind the last star: a star before it needs no second try, since whatever it took could be taken by
    // this one as well.
    var star: (part: Int, position: Int)?
    while position < key.count {
      if part < parts.count, case .anything = parts[part] {
        part += 1
        star = (part, position)
      } else if part < parts.count, case .one(let bytes) = parts[part], bytes.contains(key[position]) {
        part += 1
        position += 1
      } else if let last = star {
        part = last.part
        position = last.position + 1
        star = (part, position)
      } else {
        return false
      }
    }
    while part < parts.count, case .anything = parts[part] { part += 1 }
    return part == parts.count
  }
}
