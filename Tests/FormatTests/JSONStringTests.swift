// Strings in JSON: every escape, at every position of the eight bytes that are looked at together.
import Support
import Testing

@Suite struct JSONStringTests {
  static let escapes: [(String, String)] = [
    ("\"", "\\\""), ("\\", "\\\\"), ("/", "/"), ("\u{8}", "\\b"), ("\t", "\\t"), ("\n", "\\n"), ("\u{c}", "\\f"),
    ("\r", "\\r"), ("\u{0}", "\\u0000"), ("\u{b}", "\\u000b"), ("\u{1b}", "\\u001b"), ("\u{1f}", "\\u001f"),
    (" ", " "), ("!", "!"), ("#", "#"), ("[", "["), ("]", "]"), ("~", "~"), ("é", "é"), ("\u{2028}", "\u{2028}"),
    ("\u{ffff}", "\u{ffff}"), ("\u{10ffff}", "\u{10ffff}"),
    // What a terminal may obey, and the characters beside it.
    ("\u{7f}", "\\u007f"), ("\u{80}", "\\u0080"), ("\u{9b}", "\\u009b"), ("\u{9f}", "\\u009f"),
    ("\u{a0}", "\u{a0}"), ("\u{bf}", "\u{bf}"), ("\u{61b}", "\u{61b}"), ("\u{61c}", "\\u061c"),
    ("\u{61d}", "\u{61d}"), ("\u{200d}", "\u{200d}"), ("\u{200e}", "\\u200e"), ("\u{200f}", "\\u200f"),
    ("\u{2010}", "\u{2010}"), ("\u{2029}", "\u{2029}"), ("\u{202a}", "\\u202a"), ("\u{202e}", "\\u202e"),
    ("\u{202f}", "\u{202f}"), ("\u{2065}", "\u{2065}"), ("\u{2066}", "\\u2066"), ("\u{2069}", "\\u2069"),
    ("\u{206a}", "\u{206a}"), ("\u{e2}", "\u{e2}"), ("“", "“"), ("\u{58}\u{18}", "X\\u0018"),
  ]

  @Test(arguments: escapes) func escape(_ text: String, _ expected: String) {
    for before in 0...17 {
      for after in [0, 1, 7, 8, 9] {
        let (head, tail) = (String(repeating: "a", count: before), String(repeating: "z", count: after))
        #expect(Formatted.json(of: .text(head + text + tail)) == "\"\(head)\(expected)\(tail)\"")
      }
    }
  }

  @Test func everyControlCharacterInARow() {
    let json = Formatted.json(of: .text(String(String.UnicodeScalarView((0..<0x20).map { Unicode.Scalar(UInt8($0)) }))))
    let short: [Int: String] = [8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r"]
    let expected = (0..<0x20).map { short[$0] ?? "\\u00" + ($0 < 16 ? "0" : "") + String($0, radix: 16) }
    #expect(json == "\"" + expected.joined() + "\"")
  }

  /// Longer than the part that is escaped at once and than the output's buffer.
  @Test(arguments: [16 << 10, (16 << 10) + 1, 64 << 10, 300_000]) func longText(count: Int) {
    let text = String((0..<count).map { Character(Unicode.Scalar(UInt8(0x20 + $0 % 95))) })
    let expected = text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
    #expect(Formatted.json(of: .text(text)) == "\"\(expected)\"")
    let marks = String(repeating: "\u{202e}", count: count / 3)
    for prefix in ["", "a", "aa"] {
      let escaped = String(repeating: "\\u202e", count: count / 3)
      #expect(Formatted.json(of: .text(prefix + marks)) == "\"\(prefix)\(escaped)\"")
    }
    let controls = String(repeating: "\u{1}", count: count)
    #expect(Formatted.json(of: .text(controls)) == "\"" + String(repeating: "\\u0001", count: count) + "\"")
  }

  static let base64: [(String, String)] = [
    // RFC 4648, section 10, has ASCII only: these begin with a byte that is no UTF-8.
    ("ff", "/w=="), ("ff66", "/2Y="), ("ff666f", "/2Zv"), ("ff666f6f", "/2Zvbw=="), ("fffefdfcfbfa", "//79/Pv6"),
  ]

  @Test(arguments: base64) func bytes(_ digits: String, _ expected: String) {
    #expect(Formatted.json(of: .bytes(hex(digits))) == "{\"base64\":\"\(expected)\"}")
  }

  @Test(arguments: [(48 << 10) - 1, 48 << 10, (48 << 10) + 1, 200_000]) func longBytes(count: Int) {
    let json = Formatted.json(of: .bytes(Array(repeating: 0xff, count: count)))
    let padding = [0: "", 1: "/w==", 2: "//8="][count % 3] ?? ""
    #expect(json == "{\"base64\":\"" + String(repeating: "////", count: count / 3) + padding + "\"}")
  }
}
