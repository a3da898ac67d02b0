// Commands that have no reply, and the servers that answer them all the same: no pair behind them may be shifted.
import Testing

@testable import RESP

@Suite struct ReplyModeTests {
  private static let noAuth: Event = .server("-NOAUTH Authentication required.\r\n")
  private static let queued: Event = .server("+QUEUED\r\n")

  /// A client that does not wait for answers, and whose password is wrong: nothing tells it that replies are still on.
  @Test func replyOffIsRefused() throws {
    let decoded = try Decoded(
      .command("CLIENT REPLY OFF"), Self.noAuth, .command("GET a"), Self.noAuth, .command("CLIENT REPLY ON"),
      Self.noAuth,
      .command("GET k1"), .server("$2\r\nv1\r\n"))
    #expect(decoded.vouchedLines == ["CLIENT [REPLY, OFF] (no_reply)"])
    #expect(decoded.lines.last == "GET [k1] → bulk_string v1 (unvouched)")
  }

  /// The same in one piece, where CLIENT REPLY ON waits for its reply already.
  @Test func replyOffIsRefusedInAPipeline() throws {
    let decoded = try Decoded(
      .client(
        encode("GET", "a") + encode("CLIENT", "REPLY", "OFF") + encode("GET", "b") + encode("CLIENT", "REPLY", "ON")),
      .server("$1\r\n1\r\n-NOPERM no\r\n$1\r\n2\r\n-NOPERM no\r\n"), .command("GET c"), .server("$1\r\n3\r\n"))
    #expect(
      decoded.vouchedLines == [
        "CLIENT [REPLY, OFF] (no_reply)", "GET [b] (no_reply)", "GET [a] → bulk_string 1",
      ])
  }

  @Test(arguments: [false, true]) func replySkipIsRefused(isReplyFirst: Bool) throws {
    let skip: Event = .command("CLIENT REPLY SKIP")
    let refusal: Event = .server("-NOPERM no\r\n")
    let decoded = try Decoded(
      Conversation([
        .command("PING"), .server("+PONG\r\n"), isReplyFirst ? refusal : skip, isReplyFirst ? skip : refusal,
        .command("SET a 1"), .server("+OK\r\n"), .command("GET k1"), .server("$2\r\nv1\r\n"), .command("GET k2"),
        .server("$2\r\nv2\r\n"),
      ]))
    #expect(!decoded.vouchedLines.contains { $0.contains("GET") })
  }

  /// What a server says of a key does not refuse CLIENT REPLY, which has none.
  @Test func errorBehindSkip() throws {
    #expect(
      try Decoded(
        .command("CLIENT REPLY SKIP"), .command("SET a 1"), .command("LPUSH a x"), .server("-WRONGTYPE Operation\r\n")
      ).lines == [
        "CLIENT [REPLY, SKIP] (no_reply)", "SET [a, 1] (no_reply)", "LPUSH [a, x] → error WRONGTYPE Operation",
      ])
  }

  /// Whether replies are off behind EXEC is known when it is answered.
  @Test(arguments: [false, true]) func replyOffInATransaction(isAborted: Bool) throws {
    let decoded = try Decoded(
      .client(
        encode("MULTI") + encode("CLIENT", "REPLY", "OFF") + encode(isAborted ? "NOSUCH" : "PING") + encode("EXEC")
          + encode("GET", "k1")),
      .server(
        isAborted
          ? "+OK\r\n+QUEUED\r\n-ERR unknown command\r\n-EXECABORT no\r\n$2\r\nv1\r\n"
          : "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n"
      ),
      .command("CLIENT REPLY ON"), .server("+OK\r\n"))
    #expect(decoded.lines.first == "GET [k1] (unvouched, no_reply)")
    #expect(decoded.vouchedLines.contains("CLIENT [REPLY, ON] → simple_string OK") == !isAborted)
  }

  /// replication.c, redis 7: no answer, but it is queued like any other command.
  @Test func acknowledgementInATransaction() throws {
    #expect(
      try Decoded(
        .command("MULTI"), .server("+OK\r\n"), .command("REPLCONF ACK 1"), Self.queued, .command("GET a"), Self.queued,
        .command("EXEC"), .server("*2\r\n$1\r\n1\r\n"), .command("GET b"), .server("$1\r\n2\r\n")
      ).lines == [
        "MULTI [] → simple_string OK", "REPLCONF [ACK, 1] (no_reply, queued)", "GET [a] → bulk_string 1 (queued)",
        "EXEC [] → array [1]", "GET [b] → bulk_string 2",
      ])
  }

  /// replication.c: who is a monitor already is not answered.
  @Test(arguments: ["MONITOR", "SYNC", "PSYNC ? -1"]) func monitorAgain(command: String) throws {
    let decoded = try Decoded(
      .command("MONITOR"), .server("+OK\r\n"), .command(command), .command("GET k1"), .server("$2\r\nv1\r\n"),
      .command("GET k2"), .server("$2\r\nv2\r\n"))
    #expect(decoded.lines.first == "MONITOR [] → simple_string OK")
    #expect(decoded.lines.dropFirst().first?.hasSuffix("(no_reply)") == true)
    #expect(decoded.lines.suffix(2) == ["GET [k1] → bulk_string v1", "GET [k2] → bulk_string v2"])
  }

  /// Also where replies are recorded before their requests, and the next one is an error, but not a refusal.
  @Test func monitorAgainRecordedLate() throws {
    let decoded = try Decoded(
      .server("+OK\r\n-WRONGTYPE no\r\n:1\r\n"), .command("MONITOR"), .command("MONITOR"), .command("LPUSH k v"),
      .command("INCR n"))
    #expect(
      decoded.lines == [
        "MONITOR [] → simple_string OK (clamped)", "MONITOR [] (no_reply)",
        "LPUSH [k, v] → error WRONGTYPE no (clamped)",
        "INCR [n] → integer 1 (clamped)",
      ])
  }

  /// An error is the refusal, or that of the command behind it.
  @Test func monitorAgainAndAnError() throws {
    let decoded = try Decoded(
      .command("MONITOR"), .server("+OK\r\n"), .client(encode("MONITOR") + encode("FOO")), .server("-ERR unknown\r\n"),
      .command("GET k"), .server("$1\r\nv\r\n"))
    #expect(decoded.vouchedLines == ["MONITOR [] → simple_string OK"])
  }
}
