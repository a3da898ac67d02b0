// Servers that are not Redis of today, where they answer in another way: the bytes are those that their sources or issues show.
import Support
import TapWire
import Testing

@testable import RESP

@Suite struct OtherServerTests {
  /// Valkey 8.0 refused what Redis confirms with a count of 0 (valkey-io/valkey#1228).
  @Test func valkeyRefusesToUnsubscribe() throws {
    let refusal = "NOSUB 'unsubscribe' command executed not in subscribed mode"
    #expect(
      try Decoded(
        .command("UNSUBSCRIBE a b"), .command("GET a"), .command("UNSUBSCRIBE"), .command("GET b"),
        .server("-\(refusal)\r\n$1\r\n1\r\n-\(refusal)\r\n$1\r\n2\r\n")
      ).lines == [
        "UNSUBSCRIBE [a, b] → error \(refusal)", "GET [a] → bulk_string 1", "UNSUBSCRIBE [] → error \(refusal)",
        "GET [b] → bulk_string 2",
      ])
  }

  /// A replica of Valkey 8 sends clients that can follow to its primary, also out of a transaction.
  @Test func valkeyRedirects() throws {
    #expect(
      try Decoded(
        .command("CLIENT CAPA redirect"), .command("GET a"), .command("MULTI"), .command("SET a 1"), .command("EXEC"),
        .server("+OK\r\n-REDIRECT 127.0.0.1:7000\r\n+OK\r\n+QUEUED\r\n-REDIRECT 127.0.0.1:7000\r\n"),
        .command("PING"), .server("+PONG\r\n")
      ).lines == [
        "CLIENT [CAPA, redirect] → simple_string OK", "GET [a] → error REDIRECT 127.0.0.1:7000",
        "MULTI [] → simple_string OK", "SET [a, 1] → simple_string QUEUED (queued)",
        "EXEC [] → error REDIRECT 127.0.0.1:7000", "PING [] → simple_string PONG",
      ])
  }

  /// Garnet does not repeat the word, Redis 2.x only the word.
  @Test(arguments: ["ERR unknown command", "ERR unknown command 'JSON.GET'"])
  func unknownCommands(_ refusal: String) throws {
    #expect(
      try Decoded(.command("JSON.GET a"), .command("GET a"), .server("-\(refusal)\r\n$-1\r\n")).lines
        == ["JSON.GET [a] → error \(refusal)", "GET [a] → null null"])
  }

  /// Before Redis 2.6 an early MONITOR wrote numbers without quotes: what cannot be read is not shown.
  @Test func monitorOfRedis2() throws {
    let decoded = try Decoded(
      .command("MONITOR"),
      .server("+OK\r\n+1339518083.10741 \"AUTH\" 1234\r\n+1339518083.10742 (db 1) \"get\" \"a\"\r\n"),
      .command("PING"), .server("+PONG\r\n"))
    #expect(
      decoded.lines.dropFirst() == [
        "→ simple_string 1339518083.10741 \"AUTH\" \"(redacted)\" (monitor)",
        "→ simple_string 1339518083.10742 (db 1) \"get\" \"a\" (monitor)", "PING [] → simple_string PONG",
      ])
  }
}
