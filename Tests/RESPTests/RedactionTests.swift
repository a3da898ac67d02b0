// What stands in place of what is hidden; Tests/e2e/test_resp_redaction.py looks for what should not be there at all.
import Support
import TapWire
import Testing

@testable import RESP

@Suite struct RedactionTests {
  private static func lines(_ parts: Redaction.Parts, hashes: Bool = false, _ events: Event...) throws -> [String] {
    var rules = OutputRules()
    rules.redaction.parts = parts
    if hashes { rules.redaction.keyHash = { "hash:\($0.count)" } }
    return try Decoded(Conversation(events), rules: rules).exchanges.map { exchange in
      #expect(exchange.flags.contains("redacted"))
      return "\(exchange.request ?? "-") → \(exchange.response ?? "-") \(exchange.annotations)"
    }
  }

  @Test func arguments() throws {
    #expect(
      try Self.lines(
        .arguments, .command("SET key value"), .server("+OK\r\n"), .command("GET key"), .server("$5\r\nvalue\r\n"),
        .command("ECHO value"), .server("$5\r\nvalue\r\n"))
        == [
          "SET [key, cut[5, ]] → simple_string OK {class: write, keys: [key]}",
          "GET [key] → bulk_string value {class: read, keys: [key]}",
          "ECHO [cut[5, ]] → bulk_string cut[5, ] {class: connection}",
        ])
  }

  @Test func values() throws {
    #expect(
      try Self.lines(
        .values, .command("MGET a bb"), .server("*2\r\n$1\r\nx\r\n$-1\r\n"), .command("INCR n"), .server(":42\r\n"),
        .command("GET a"), .server("$-1\r\n"), .command("TYPE a"), .server("+string\r\n"), .command("PING"),
        .server("+secret\r\n"))
        == [
          "MGET [a, bb] → array cut[2, []] {class: read, keys: [a, bb]}",
          "INCR [n] → integer (redacted) {class: write, keys: [n]}",
          "GET [a] → null null {class: read, keys: [a]}",
          "TYPE [a] → simple_string string {class: read, keys: [a]}",
          "PING [] → simple_string cut[6, ] {class: connection}",
        ])
  }

  @Test func keys() throws {
    #expect(
      try Self.lines(
        .keys, .command("SET key value"), .server("+OK\r\n"), .command("BLPOP a 0"),
        .server("*2\r\n$1\r\na\r\n$1\r\nx\r\n"), .command("KEYS *"), .server("*1\r\n$1\r\na\r\n"))
        == [
          "SET [cut[3, ], value] → simple_string OK {class: write, keys: cut[1, []]}",
          "BLPOP [cut[1, ], 0] → array cut[2, []] {class: blocking, keys: cut[1, []]}",
          "KEYS [cut[1, ]] → array cut[1, []] {class: read}",
        ])
  }

  @Test func hashes() throws {
    #expect(
      try Self.lines(
        .values, hashes: true, .command("ZUNIONSTORE dest 2 a bb"), .server(":1\r\n"),
        // Nobody knows which of these are keys.
        .command("ZUNIONSTORE dest 9 a bb"), .server("-ERR syntax error\r\n"))
        == [
          "ZUNIONSTORE [hash:4, cut[1, ], hash:1, hash:2] → integer (redacted) {class: write, keys: [hash:4, hash:1, hash:2]}",
          "ZUNIONSTORE [cut[4, ], cut[1, ], cut[1, ], cut[2, ]] → error ERR (redacted) {class: write}",
        ])
  }

  /// What is no command is not the name of one; a module's is, where the server has answered it.
  @Test func names() throws {
    #expect(
      try Self.lines(
        .values, .command("HUNTER2 x"), .server("-ERR unknown command 'HUNTER2'\r\n"), .command("JSON.GET x"),
        .server("$1\r\ny\r\n"), .command("CONFIG HUNTER2"), .server("-ERR Unknown subcommand\r\n"),
        .command("CONFIG GET x"), .server("*0\r\n"))
        == [
          "(redacted) [cut[1, ]] → error ERR (redacted) {class: unknown}",
          "JSON.GET [cut[1, ]] → bulk_string cut[1, ] {class: unknown}",
          "CONFIG [cut[7, ]] → error ERR (redacted) {class: unknown}",
          "CONFIG [GET, cut[1, ]] → array cut[0, []] {class: admin}",
        ])
  }

  /// A script makes errors and statuses of whatever it likes.
  @Test func scripts() throws {
    #expect(
      try Self.lines(
        .keys, .command("EVAL x 1 k a"), .server("-HUNTER2 is the code\r\n"), .command("EVAL x 1 k a"),
        .server("+HUNTER2\r\n"))
        == [
          "EVAL [cut[1, ], cut[1, ], cut[1, ], cut[1, ]] → error (redacted) {class: scripting, keys: cut[1, []]}",
          "EVAL [cut[1, ], cut[1, ], cut[1, ], cut[1, ]] → simple_string cut[7, ] {class: scripting, keys: cut[1, []]}",
        ])
  }

  @Test func namesOfConnections() throws {
    var rules = OutputRules()
    rules.redaction.parts = .keys
    let events: [Event] = [
      .command("CLIENT SETNAME worker"), .server("+OK\r\n"), .command("AUTH ada secret"), .server("+OK\r\n"),
      .command("GET a"), .server("$-1\r\n"),
    ]
    let decoded = try Decoded(Conversation(events), rules: rules)
    #expect(decoded.exchanges.last?.state == "{database: 0, client_name: cut[6, ], user: cut[3, ]}")
    #expect(decoded.lines[1] == "AUTH [cut[3, ], (redacted)] → simple_string OK (redacted)")
  }

  @Test func nothing() throws {
    var rules = OutputRules()
    rules.redaction.masksSecrets = false
    let events: [Event] = [
      .command("AUTH ada secret"), .server("+OK\r\n"), .command("ACL GENPASS"), .server("$5\r\n12345\r\n"),
    ]
    #expect(
      try Decoded(Conversation(events), rules: rules).lines
        == ["AUTH [ada, secret] → simple_string OK", "ACL [GENPASS] → bulk_string 12345"])
  }

  /// Hashes are longer than short keys: more of them than an exchange holds are counted only.
  @Test func moreThanThereIsRoomFor() throws {
    let count = 400_000
    var rules = OutputRules()
    rules.redaction.keyHash = { _ in "hash:0123456789abcdef0123456789abcdef" }
    let words = [Array("DEL".utf8)] + Array(repeating: [UInt8(ascii: "k")], count: count)
    let decoded = try Decoded(Conversation([.client(encode(words)), .server(":1\r\n")]), rules: rules)
    #expect(decoded.exchanges.first?.request?.hasPrefix("DEL cut[\(count), [hash:0123") == true)
    #expect(decoded.output.count < 5 << 20)
  }
}
