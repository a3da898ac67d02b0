// Nothing that comes from the wire can steer a terminal: what would is shown as an escape.
import Support
import TapWire
import Testing

@Suite struct VisibleTextTests {
  static let escaped: [(String, String)] = [
    ("\u{1b}[31mred", "\\x1b[31mred"), ("a\nb\rc\td", "a\\nb\\rc\\td"), ("\0", "\\x00"), ("\u{7}\u{8}", "\\x07\\x08"),
    ("\u{7f}", "\\x7f"), ("\u{85}", "\\u{0085}"), ("\u{9b}31m", "\\u{009b}31m"),
    ("C:\\x1b", "C:\\\\x1b"), ("plain 'text' \"quoted\"", "plain 'text' \"quoted\""),
    ("über 日本 😀", "über 日本 😀"), ("e\u{301}", "e\u{301}"), ("\u{a0}", "\u{a0}"),
  ]

  @Test(arguments: escaped) func text(_ value: String, _ expected: String) {
    #expect(Formatted.pretty(of: .text(value)) == expected)
  }

  /// What reorders, hides or joins text (Unicode's bidirectional algorithm, UAX 9, and default-ignorable code points).
  static let invisible: [ClosedRange<UInt32>] = [
    0x00ad...0x00ad, 0x034f...0x034f, 0x061c...0x061c, 0x115f...0x1160, 0x180b...0x180e, 0x200b...0x200f,
    0x2028...0x202e, 0x2060...0x206f, 0x3164...0x3164, 0xfe00...0xfe0f, 0xfeff...0xfeff, 0xffa0...0xffa0,
    0xfff9...0xfffb, 0x1bca0...0x1bca3, 0xe0001...0xe0001, 0xe0020...0xe007f, 0xe0100...0xe01ef, 0x80...0x9f,
    0xe000...0xe000, 0xffff...0xffff, 0x10ffff...0x10ffff,
  ]

  @Test(arguments: invisible) func hidden(_ range: ClosedRange<UInt32>) {
    for value in range {
      guard let scalar = Unicode.Scalar(value) else { continue }
      let digits = String(value, radix: 16)
      let padded = String(repeating: "0", count: max(0, 4 - digits.count)) + digits
      #expect(Formatted.pretty(of: .text("a\(scalar)b")) == "a\\u{\(padded)}b")
    }
  }

  static let invalid: [(String, String)] = [
    ("61ff62", "a\\xffb"), ("c328", "\\xc3("), ("e28000", "\\xe2\\x80\\x00"), ("eda080", "\\xed\\xa0\\x80"),
    ("f4908080", "\\xf4\\x90\\x80\\x80"), ("c0af", "\\xc0\\xaf"), ("e282", "\\xe2\\x82"), ("80", "\\x80"),
    ("c3a9ff", "é\\xff"),
  ]

  @Test(arguments: invalid) func bytesThatAreNoText(_ digits: String, _ expected: String) {
    #expect(Formatted.pretty(of: .bytes(hex(digits))) == expected)
    // Nor is a text string believed.
    #expect(Formatted.pretty(of: .encoded([0x60 | UInt8(digits.count / 2)] + hex(digits))) == expected)
  }

  @Test func marksDoNotPileUp() {
    let pile = "a" + String(repeating: "\u{301}", count: 5) + "b" + "\u{301}"
    #expect(Formatted.pretty(of: .text(pile)) == "a\u{301}\u{301}\u{301}\\u{0301}\\u{0301}b\u{301}")
  }

  @Test func noByteSequenceReachesTheTerminal() {
    let seed: UInt64 = 20_240_229
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<2000 {
      let bytes = (0..<Int.random(in: 0...40, using: &generator)).map { _ in
        UInt8.random(in: 0...255, using: &generator)
      }
      let shown = Formatted.pretty(of: .bytes(bytes)) ?? "\u{1b}"
      let isHarmless = shown.unicodeScalars.allSatisfy {
        $0.value >= 0x20 && !(0x7f...0x9f).contains($0.value) && !$0.properties.isDefaultIgnorableCodePoint
          && !$0.properties.isBidiControl
      }
      #expect(isHarmless, "seed \(seed), \(bytes)")
    }
  }
}
