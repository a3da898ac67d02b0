// --max-value: what is longer is cut and says how long it was; what the decoder itself has written never is.
import Support
import TapWire
import Testing

@testable import RESP

@Suite struct ValueCutterTests {
  private static func lines(_ limit: Int, _ events: Event...) throws -> [String] {
    var rules = OutputRules()
    rules.maximumValueBytes = limit
    return try Decoded(Conversation(events), rules: rules).lines
  }

  @Test func strings() throws {
    let value = String(repeating: "v", count: 100)
    #expect(
      try Self.lines(
        10, .command("SET k \(value)"), .server("+OK\r\n"), .command("GET k"), .server(bulk(value)),
        .command("PING"), .server("+PONG\r\n"))
        == [
          "SET [k, cut[100, vvvvvvvvvv]] → simple_string OK (cut)", "GET [k] → bulk_string cut[100, vvvvvvvvvv] (cut)",
          "PING [] → simple_string PONG",
        ])
  }

  /// The mark takes a few bytes: a string that would not get shorter stays whole.
  @Test func littleMoreThanTheLimit() throws {
    #expect(try Self.lines(4, .command("SET k 123456"), .server("+OK\r\n")) == ["SET [k, 123456] → simple_string OK"])
  }

  @Test func charactersStayWhole() throws {
    let value = String(repeating: "ä", count: 20)
    #expect(try Self.lines(5, .command("ECHO x"), .server(bulk(value))) == ["ECHO [x] → bulk_string cut[40, ää] (cut)"])
  }

  @Test func aggregates() throws {
    let value = String(repeating: "v", count: 50)
    let digits = String(repeating: "9", count: 50)
    #expect(
      try Self.lines(
        2, .command("HELLO 3"),
        .server(
          "%1\r\n$50\r\n\(value)\r\n*4\r\n:12345678901\r\n$50\r\n\(value)\r\n(\(digits)\r\n=54\r\ntxt:\(value)\r\n"))
        == [
          "HELLO [3] → map {cut[50, vv]: [12345678901, cut[50, vv], big0x446c3b15f9926687d2c40534fdb563ffffffffffff, "
            + "=[txt, cut[50, vv]]]} (cut)"
        ])
  }

  /// A value that the limits of the decoder have cut is cut further, and its length stays.
  @Test func whatIsCutAlready() throws {
    let events: [Event] = [
      .command("PING"), .server("+PONG\r\n"), .command("GET k"), .server("$1000\r\nabcdefghijklmnopqrst"),
      .serverGap(980),
      .server("\r\n"),
    ]
    var rules = OutputRules()
    rules.maximumValueBytes = 3
    let lines = try Decoded(Conversation(events), rules: rules).lines
    #expect(lines.last == "GET [k] → bulk_string cut[1000, abc] (cut, gap)")
  }
}
