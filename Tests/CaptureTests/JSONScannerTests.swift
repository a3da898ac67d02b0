// The few values of interest in a JSON text, whole or in steps, and what is no such text.
import Glibc
import Testing

@testable import tap_capture

@Suite struct JSONScannerTests {
  /// The strings in a text, objects and arrays opened, other values passed over.
  private func strings(_ scanner: inout JSONScanner) -> [String] {
    var found: [String] = []
    scanner.readObject { scanner, name in
      found.append("\(name ?? "-"):")
      switch name {
      case "list": scanner.readArray { found.append($0.readString(limitBytes: 8) ?? "-") }
      case "skip": break
      default: found.append(scanner.readString(limitBytes: 8) ?? "-")
      }
    }
    return found
  }

  static let texts: [(String, [String])] = [
    (#"{"a":"x","b":"y"}"#, ["a:", "x", "b:", "y"]), (" { } ", []),
    ("{\n\"a\" :\t1 ,\r\"b\": null}", ["a:", "-", "b:", "-"]),
    (#"{"skip":{"a":[{"]}":"\"}"},-1.5e3,true]},"a":"z"}"#, ["skip:", "a:", "z"]),
    (#"{"list":["a",5,["x"],{"a":"b"},"c"],"a":"d"}"#, ["list:", "a", "-", "-", "-", "c", "a:", "d"]),
    (#"{"list":"none","a":"12345678","b":"123456789"}"#, ["list:", "a:", "12345678", "b:", "-"]),
    (#"{"\u0061":"\"\\\/\b\f\n\r\t"}"#, ["a:", "\"\\/\u{8}\u{c}\n\r\t"]),
    (
      #"{"a":"\u00e9\ud83d\ude00","b":"\ud83dx","c":"\ud83d\n","d":"\ud83d\u0041"}"#,
      ["a:", "é😀", "b:", "\u{fffd}x", "c:", "\u{fffd}\n", "d:", "\u{fffd}A"]
    ),
    ("[]", []), ("7", []),
  ]

  @Test(arguments: texts) func values(_ text: String, _ expected: [String]) {
    var scanner = JSONScanner(Array(text.utf8))
    let found = strings(&scanner)
    let isMalformed = scanner.isMalformed
    #expect(found == expected && !isMalformed)
  }

  /// Every text that ends too early is malformed, wherever it ends.
  @Test func cutTexts() {
    for (text, _) in Self.texts where text.hasPrefix("{") {
      for length in 0..<text.utf8.count {
        var scanner = JSONScanner(Array(text.utf8.prefix(length)))
        _ = strings(&scanner)
        let isMalformed = scanner.isMalformed
        #expect(isMalformed)
      }
    }
  }

  @Test(arguments: [#"{"a" "b"}"#, "{a:1}", #"{"a":1]"#, #"{"a":}"#, #"{"a":1 "b":2}"#, #"{"a":"\u12x4"}"#, #"{,}"#])
  func malformed(_ text: String) {
    var scanner = JSONScanner(Array(text.utf8))
    _ = strings(&scanner)
    let isMalformed = scanner.isMalformed
    #expect(isMalformed)
  }

  /// Depth costs nothing.
  @Test func deepTexts() {
    var scanner = JSONScanner(Array(String(repeating: "[", count: 1 << 20).utf8))
    scanner.skipValue()
    let isMalformed = scanner.isMalformed
    #expect(isMalformed)
  }

  /// A file is read in steps: the value of interest may lie across two of them, and what lies behind the limit is not there.
  @Test func filesOfAnyLength() throws {
    for padding in (65_500..<65_540) {
      let text = #"{"skip":"\#(String(repeating: "x", count: padding))","a":"\u00e9\ud83d\ude00","b":"end"}"#
      let file = try #require(tmpfile())
      defer { fclose(file) }
      #expect(write(fileno(file), text, text.utf8.count) == text.utf8.count)
      lseek(fileno(file), 0, SEEK_SET)
      var scanner = JSONScanner(descriptor: fileno(file), limitBytes: 1 << 20)
      let found = strings(&scanner)
      #expect(found == ["skip:", "a:", "é😀", "b:", "end"])
      lseek(fileno(file), 0, SEEK_SET)
      var limited = JSONScanner(descriptor: fileno(file), limitBytes: 1000)
      _ = strings(&limited)
      let isMalformed = limited.isMalformed
      #expect(isMalformed)
    }
  }
}
