// Text from a stranger on somebody's terminal: everything is shown, nothing is obeyed (CWE-150), and no line grows without end.
import TapWire

/// How much of a line may still be written.
struct LineBudget {
  /// Characters left; what is shown as an escape counts with its length. May fall below 0 by less than an escape's length.
  var characters: Int
  /// Values that found no room at all.
  var hiddenValues = 0

  init(characters: Int) { self.characters = characters }

  var isSpent: Bool { characters <= 0 }
}

/// Combining marks shown in a row; more would climb over the lines above and below.
private let maximumMarksInRow = 3

extension TextSink where Self: ~Copyable {
  /// Writes `bytes` as text while the budget lasts, and returns whether all of it was written.
  ///
  /// Control characters, what reorders or hides text, and bytes that are no UTF-8 are shown as escapes: `\n`, `\x1b`,
  /// `\u{202e}`, `\xff`. A backslash is doubled, so that an escape cannot be forged.
  @discardableResult
  mutating func appendVisible(_ bytes: UnsafeRawBufferPointer, _ budget: inout LineBudget) -> Bool {
    var position = 0
    var marksInRow = 0
    while position < bytes.count {
      if budget.isSpent { return false }
      let byte = bytes[position]
      if byte < 0x80 {
        marksInRow = 0
        position += 1
        if byte >= 0x20, byte != 0x7f, byte != UInt8(ascii: "\\") {
          append(byte)
          budget.characters -= 1
        } else {
          appendEscape(ofASCII: byte, &budget)
        }
        continue
      }
      let length = utf8ScalarBytes(bytes, at: position)
      guard length > 0, let scalar = Unicode.Scalar(wellFormed: bytes, at: position, length: length) else {
        appendHexEscape(byte, &budget)
        position += 1
        continue
      }
      let appearance = Appearance(scalar)
      marksInRow = appearance == .mark ? marksInRow + 1 : 0
      if appearance == .hidden || marksInRow > maximumMarksInRow {
        appendScalarEscape(scalar, &budget)
      } else {
        append(UnsafeRawBufferPointer(rebasing: bytes[position..<position + length]))
        budget.characters -= 1
      }
      position += length
    }
    return true
  }

  private mutating func appendEscape(ofASCII byte: UInt8, _ budget: inout LineBudget) {
    switch byte {
    case UInt8(ascii: "\\"): append("\\\\")
    case 0x09: append("\\t")
    case 0x0a: append("\\n")
    case 0x0d: append("\\r")
    default: return appendHexEscape(byte, &budget)
    }
    budget.characters -= 2
  }

  private mutating func appendHexEscape(_ byte: UInt8, _ budget: inout LineBudget) {
    append("\\x")
    append(hexadecimalDigit(byte >> 4))
    append(hexadecimalDigit(byte & 0xf))
    budget.characters -= 4
  }

  private mutating func appendScalarEscape(_ scalar: Unicode.Scalar, _ budget: inout LineBudget) {
    append("\\u{")
    var digits = 4
    while digits < 6, scalar.value >> UInt32(digits * 4) != 0 { digits += 1 }
    for digit in (0..<digits).reversed() {
      append(hexadecimalDigit(UInt8(truncatingIfNeeded: scalar.value >> UInt32(digit * 4)) & 0xf))
    }
    append("}")
    budget.characters -= 4 + digits
  }
}

/// How a terminal treats a character that is not ASCII.
private enum Appearance {
  case plain
  /// Drawn over the character before it.
  case mark
  /// Has no shape of its own, moves others, or means something else on every machine.
  case hidden

  init(_ scalar: Unicode.Scalar) {
    let properties = scalar.properties
    switch properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator:
      self = .hidden
    case .nonspacingMark, .enclosingMark:
      self = properties.isDefaultIgnorableCodePoint ? .hidden : .mark
    default:
      // Fillers and the like are letters by category, and invisible.
      self = properties.isDefaultIgnorableCodePoint ? .hidden : .plain
    }
  }
}

extension Unicode.Scalar {
  /// The scalar at `position`, whose well-formed sequence has `length` bytes (2 to 4).
  fileprivate init?(wellFormed bytes: UnsafeRawBufferPointer, at position: Int, length: Int) {
    var value = UInt32(bytes[position]) & (0xff >> UInt32(length + 1))
    for index in 1..<length { value = value << 6 | UInt32(bytes[position + index] & 0x3f) }
    self.init(value)
  }
}
