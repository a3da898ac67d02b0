// Globs as KEYS takes them; Tests/e2e/test_resp_filters.py asks a real redis-server about random ones.
import Testing

@testable import RESP

@Suite struct GlobTests {
  private static func matches(_ pattern: String, _ key: String) -> Bool {
    matches(Array(pattern.utf8), Array(key.utf8))
  }

  private static func matches(_ pattern: [UInt8], _ key: [UInt8]) -> Bool {
    key.withUnsafeBytes { Glob(pattern).matches($0) }
  }

  @Test(arguments: [
    ("session:*", "session:1"), ("*", "x"), ("*", ""), ("", ""), ("a?c", "abc"), ("a*b*c", "aXbXbc"), ("*a", "ba"),
    ("h[ae]llo", "hello"), ("h[^e]llo", "hallo"), ("h[a-b]llo", "hbllo"), ("h[b-a]llo", "hallo"), ("\\*", "*"),
    ("\\", "\\"), ("[\\]]", "]"), ("[ab", "b"), ("[^", "x"), ("[a-]x", "]"), ("[]-a]", "-a]"), ("a**", "a"),
    ("**a", "a"),
    ("[^a]", "\u{7f}"),
  ]) func matching(pattern: String, key: String) {
    // `[]` is a class of nothing: what stands behind it is never reached.
    #expect(Self.matches(pattern, key) == !pattern.hasPrefix("[]"), "\(pattern) \(key)")
  }

  @Test(arguments: [
    ("session:*", "Session:1"), ("**", ""), ("?", ""), ("", "a"), ("a?c", "ac"), ("a*b", "abc"), ("h[ae]llo", "hillo"),
    ("[", "["), ("[]", "a"), ("\\*", "x"), ("a", "ab"), ("ab", "a"), ("?", "ab"),
  ]) func differing(pattern: String, key: String) {
    #expect(!Self.matches(pattern, key), "\(pattern) \(key)")
  }

  @Test func bytesBeyondASCII() {
    #expect(Self.matches([UInt8(ascii: "?"), UInt8(ascii: "?")], [0xff, 0x00]))
    // As `char` of x86-64 0x80 is -128: the range holds all below zero, and ASCII up to `a`.
    #expect(Self.matches(Array("[".utf8) + [0x80] + Array("-a]".utf8), [0xff]))
    #expect(!Self.matches(Array("[".utf8) + [0x80] + Array("-a]".utf8), Array("b".utf8)))
  }

  /// What takes a backtracking matcher years: 2^20 ways to try for each length.
  @Test func manyStars() {
    let pattern = String(repeating: "*a", count: 200) + "b"
    let clock = ContinuousClock()
    let time = clock.measure {
      for _ in 0..<10 { #expect(!Self.matches(pattern, String(repeating: "a", count: 1024))) }
    }
    #expect(time < .seconds(5))
  }
}
