// Commands meet their replies in every mode of Redis: what is said on the connection, and the exchanges it makes.
import Support
import TapWire
import Testing

@testable import RESP

@Suite struct PairingTests {
  @Test func pipeline() throws {
    let decoded = try Decoded(
      .client(encode("SET", "a", "1") + encode("GET", "a") + encode("incr", "a")), .server("+OK\r\n$1\r\n1"),
      .server("\r\n:2\r\n"))
    #expect(
      decoded.lines == ["SET [a, 1] → simple_string OK", "GET [a] → bulk_string 1", "INCR [a] → integer 2"])
    let start = decoded.exchanges.first?.start ?? 0
    #expect(decoded.exchanges.map { $0.end.map { $0 - start } } == [1000, 2000, 2000])
    #expect(decoded.exchanges.map { $0.firstByte.map { $0 - start } } == [1000, 1000, 2000])
  }

  @Test func repliesRecordedBeforeTheirRequests() throws {
    let decoded = try Decoded(
      .command("PING"), .server("+PONG\r\n"), .server("$1\r\n1\r\n:2\r\n"), .command("GET a"), .command("INCR a"),
      .command("GET b"), .server("$-1\r\n"))
    #expect(
      decoded.lines == [
        "PING [] → simple_string PONG", "GET [a] → bulk_string 1 (clamped)", "INCR [a] → integer 2 (clamped)",
        "GET [b] → null null",
      ])
  }

  @Test func pushesBeforeWithinAndAfterReplies() throws {
    let push = ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n"
    let decoded = try Decoded(
      .command("GET a"), .server(push + "$1\r\n1\r\n"), .command("EXEC"),
      .server("*2\r\n" + push + ":1\r\n" + push + "_\r\n"), .command("GET b"), .server("$1\r\n2\r\n" + push))
    #expect(
      decoded.lines == [
        "→ push [message, c, x] (push)", "GET [a] → bulk_string 1", "→ push [message, c, x] (push)",
        "→ push [message, c, x] (push)", "EXEC [] → array [1, null]", "GET [b] → bulk_string 2",
        "→ push [message, c, x] (push)",
      ])
  }

  private static func confirmation(_ word: String, _ channel: String, _ count: Int, push: Bool = false) -> String {
    "\(push ? ">" : "*")3\r\n$\(word.utf8.count)\r\n\(word)\r\n$\(channel.utf8.count)\r\n\(channel)\r\n:\(count)\r\n"
  }

  @Test func subscribedModeOfRESP2() throws {
    let message = "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n"
    let decoded = try Decoded(
      .command("SUBSCRIBE a b"),
      .server(Self.confirmation("subscribe", "a", 1) + message + Self.confirmation("subscribe", "b", 2)),
      .command("PING"), .server(message + "*2\r\n$4\r\npong\r\n$0\r\n\r\n"), .command("PSUBSCRIBE p*"),
      .server(Self.confirmation("psubscribe", "p*", 3) + "*4\r\n$8\r\npmessage\r\n$2\r\np*\r\n$2\r\np1\r\n$1\r\nx\r\n"),
      .command("UNSUBSCRIBE"),
      .server(Self.confirmation("unsubscribe", "a", 2) + Self.confirmation("unsubscribe", "b", 1)),
      .command("PUNSUBSCRIBE"), .server(Self.confirmation("punsubscribe", "p*", 0)), .command("GET a"),
      .server("$1\r\n1\r\n"))
    #expect(
      decoded.lines == [
        "→ array [message, a, hi] (push)", "SUBSCRIBE [a, b] → array [[subscribe, a, 1], [subscribe, b, 2]]",
        "→ array [message, a, hi] (push)", "PING [] → array [pong, ]", "PSUBSCRIBE [p*] → array [psubscribe, p*, 3]",
        "→ array [pmessage, p*, p1, x] (push)",
        "UNSUBSCRIBE [] → array [[unsubscribe, a, 2], [unsubscribe, b, 1]]",
        "PUNSUBSCRIBE [] → array [punsubscribe, p*, 0]", "GET [a] → bulk_string 1",
      ])
  }

  @Test func subscriptionsOfRESP3() throws {
    let decoded = try Decoded(
      .command("HELLO 3"), .server("%1\r\n$5\r\nproto\r\n:3\r\n"),
      .client(encode("SUBSCRIBE", "a", "b") + encode("GET", "k") + encode("UNSUBSCRIBE") + encode("GET", "k")),
      .server(
        Self.confirmation("subscribe", "a", 1, push: true) + Self.confirmation("subscribe", "b", 2, push: true)
          + "$1\r\n1\r\n" + Self.confirmation("unsubscribe", "a", 1, push: true)
          + Self.confirmation("unsubscribe", "b", 0, push: true) + "$1\r\n2\r\n"))
    #expect(
      decoded.lines == [
        "HELLO [3] → map {proto: 3}", "SUBSCRIBE [a, b] → array [[subscribe, a, 1], [subscribe, b, 2]]",
        "GET [k] → bulk_string 1", "UNSUBSCRIBE [] → array [[unsubscribe, a, 1], [unsubscribe, b, 0]]",
        "GET [k] → bulk_string 2",
      ])
  }

  /// While subscribed with RESP3, a list that looks like a message is a reply.
  @Test func listsThatLookLikeMessages() throws {
    let list = "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n"
    let decoded = try Decoded(
      .command("HELLO 3"), .server("%1\r\n$5\r\nproto\r\n:3\r\n"), .command("SUBSCRIBE a"),
      .server(Self.confirmation("subscribe", "a", 1, push: true)), .command("LRANGE l 0 -1"), .server(list),
      .command("GET k"), .server("$1\r\n1\r\n"))
    #expect(
      decoded.lines.suffix(2) == ["LRANGE [l, 0, -1] → array [message, a, b]", "GET [k] → bulk_string 1"])
  }

  @Test func unsubscribeWithNothingSubscribed() throws {
    let decoded = try Decoded(
      .command("UNSUBSCRIBE"), .server("*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n"), .command("UNSUBSCRIBE"),
      .server("-NOSUB 'UNSUBSCRIBE' command executed not in subscribed mode\r\n"), .command("UNSUBSCRIBE x y"),
      .server(Self.confirmation("unsubscribe", "x", 0) + Self.confirmation("unsubscribe", "y", 0)), .command("PING"),
      .server("+PONG\r\n"))
    #expect(
      decoded.lines == [
        "UNSUBSCRIBE [] → array [unsubscribe, null, 0]",
        "UNSUBSCRIBE [] → error NOSUB 'UNSUBSCRIBE' command executed not in subscribed mode",
        "UNSUBSCRIBE [x, y] → array [[unsubscribe, x, 0], [unsubscribe, y, 0]]", "PING [] → simple_string PONG",
      ])
  }

  /// The capture recorded what the server sent before what the client did.
  @Test(arguments: [false, true]) func confirmationsBeforeTheirRequest(push: Bool) throws {
    let decoded = try Decoded(
      .command("PING"), .server("+PONG\r\n"),
      .server(
        Self.confirmation("subscribe", "a", 1, push: push) + Self.confirmation("subscribe", "b", 2, push: push)
          + (push ? ">" : "*") + "3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nm\r\n"), .command("SUBSCRIBE a b"),
      .command("PING"), .server(push ? "+PONG\r\n" : "*2\r\n$4\r\npong\r\n$0\r\n\r\n"))
    let pairs = decoded.lines.filter { !$0.contains("(push)") }
    #expect(
      pairs == [
        "PING [] → simple_string PONG", "SUBSCRIBE [a, b] → array [[subscribe, a, 1], [subscribe, b, 2]] (clamped)",
        push ? "PING [] → simple_string PONG" : "PING [] → array [pong, ]",
      ])
    #expect(decoded.lines.filter { $0.contains("(push)") }.count == 1)
  }

  @Test func monitor() throws {
    let line = "+1339518083.107412 [0 127.0.0.1:60866] \"keys\" \"*\"\r\n"
    let decoded = try Decoded(
      .command("MONITOR"), .server("+OK\r\n" + line), .command("PING"), .server("+PONG\r\n" + line), .command("RESET"),
      .server("+RESET\r\n"), .command("GET a"), .server("$-1\r\n"))
    #expect(
      decoded.lines == [
        "MONITOR [] → simple_string OK",
        "→ simple_string 1339518083.107412 [0 127.0.0.1:60866] \"keys\" \"*\" (monitor)",
        "PING [] → simple_string PONG",
        "→ simple_string 1339518083.107412 [0 127.0.0.1:60866] \"keys\" \"*\" (monitor)",
        "RESET [] → simple_string RESET", "GET [a] → null null",
      ])
  }

  @Test func clientReply() throws {
    let decoded = try Decoded(
      .command("CLIENT REPLY OFF"), .command("SET a 1"), .command("CLIENT REPLY SKIP"), .command("SET a 2"),
      .command("CLIENT REPLY ON"), .server("+OK\r\n"), .command("GET a"), .server("$1\r\n2\r\n"),
      .command("CLIENT REPLY SKIP"), .command("INCR a"), .command("GET a"), .server("$1\r\n3\r\n"),
      .command("CLIENT REPLY SKIP"), .command("CLIENT REPLY SKIP"), .command("INCR a"), .command("GET a"),
      .server("$1\r\n4\r\n"))
    #expect(
      decoded.lines == [
        "CLIENT [REPLY, OFF] (no_reply)", "SET [a, 1] (no_reply)", "CLIENT [REPLY, SKIP] (no_reply)",
        "SET [a, 2] (no_reply)", "CLIENT [REPLY, ON] → simple_string OK", "GET [a] → bulk_string 2",
        "CLIENT [REPLY, SKIP] (no_reply)", "INCR [a] (no_reply)", "GET [a] → bulk_string 3",
        "CLIENT [REPLY, SKIP] (no_reply)", "CLIENT [REPLY, SKIP] (no_reply)", "INCR [a] (no_reply)",
        "GET [a] → bulk_string 4",
      ])
  }

  /// redis 7 confirms subscriptions even while CLIENT REPLY is OFF; earlier ones do not.
  @Test(arguments: [false, true]) func subscribingWhileRepliesAreOff(isConfirmed: Bool) throws {
    let decoded = try Decoded(
      .command("CLIENT REPLY OFF"), .command("SUBSCRIBE a"),
      .server(isConfirmed ? Self.confirmation("subscribe", "a", 1) : ""), .command("CLIENT REPLY ON"),
      .server("+OK\r\n"))
    #expect(
      decoded.lines.filter { !$0.contains("(push)") } == [
        "CLIENT [REPLY, OFF] (no_reply)", "SUBSCRIBE [a] (no_reply)", "CLIENT [REPLY, ON] → simple_string OK",
      ])
    #expect(decoded.lines.contains("→ array [subscribe, a, 1] (push)") == isConfirmed)
  }

  @Test func resetLeavesSubscribedMode() throws {
    let decoded = try Decoded(
      .command("SUBSCRIBE a"), .server(Self.confirmation("subscribe", "a", 1)), .command("RESET"),
      .server("+RESET\r\n"), .command("LRANGE l 0 -1"), .server("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n"))
    #expect(decoded.lines.last == "LRANGE [l, 0, -1] → array [message, a, b]")
  }

  /// XREAD waits only where it says so, and in a transaction nothing does.
  @Test func blockingByOption() throws {
    let decoded = try Decoded(
      .command("XREAD COUNT 9 STREAMS BLOCK 0"), .server("*-1\r\n"), .command("xread count 9 block 0 streams s 0"),
      .server("*-1\r\n"), .command("XREADGROUP GROUP BLOCK c NOACK STREAMS s >"), .server("*-1\r\n"),
      .command("XREADGROUP GROUP g c BLOCK 5 STREAMS s >"), .server("*-1\r\n"),
      .command("MULTI"), .command("BLPOP q 0"), .command("EXEC"), .server("+OK\r\n+QUEUED\r\n*1\r\n*-1\r\n"))
    #expect(
      decoded.exchanges.map(\.flags) == [[], ["blocking"], [], ["blocking"], [], ["queued"], []])
  }

  @Test func blocking() throws {
    let decoded = try Decoded(
      .command("BLPOP q 0"), .command("GET a"), .silence(milliseconds: 500),
      .server("*2\r\n$1\r\nq\r\n$1\r\nv\r\n$-1\r\n"))
    #expect(decoded.lines == ["BLPOP [q, 0] → array [q, v] (blocking)", "GET [a] → null null"])
  }

  @Test func inlineCommandsAndLinesWithoutReply() throws {
    let decoded = try Decoded(
      .client("PING\r\n"), .server("+PONG\r\n"),
      .client("\r\n\r\nset \"a b\" '\\'x' \"\\x00\\n\"\n*0\r\n*-1\r\nget k\r\n"),
      .server("-ERR syntax error\r\n$-1\r\n"))
    #expect(
      decoded.lines == [
        "PING [] → simple_string PONG", "SET [a b, 'x, \\0\\n] → error ERR syntax error", "GET [k] → null null",
      ])
  }

  @Test func unansweredAtClose() throws {
    #expect(
      try Decoded(.command("GET a"), .command("SHUTDOWN NOSAVE")).lines == [
        "GET [a] (unanswered)", "SHUTDOWN [NOSAVE] (unanswered)",
      ])
  }

  @Test func truncatedAtClose() throws {
    #expect(
      try Decoded(.command("GET a"), .server("$10\r\nabc"), .client("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100\r\nbeg")).lines
        == [
          "GET [a] → bulk_string cut[10, abc] (cut, gap, incomplete)",
          "SET [a, cut[100, beg]] (cut, gap, incomplete, unanswered)",
        ])
  }

  /// What is begun and cannot be shown is counted, to the last byte.
  @Test(arguments: [true, false]) func whatIsNotShownIsCounted(isWhole: Bool) throws {
    let first: [Event] = [.command("GET a"), .server("$-1\r\n")]
    let cases: [([Event], UInt64)] = [
      ([], 0), ([.server("$1\r\n1\r\n")], 0), ([.command("GET b"), .server("+abc")], 4), ([.client("GET b")], 0),
      ([.client("GET")], 3), ([.client("\"GET b")], 6),
      ([.command("GET b"), .server("*2\r\n:1\r\n\0\0\0\0")], 12), ([.client("*2\r\n$3\r\nGE")], 10),
      ([.command("GET b"), .server("*1\r\n")], 0), ([.command("GET b"), .server("$?\r\n;2\r\nab\r\n")], 12),
      ([.command("GET b"), .server("|1\r\n+a\r\n")], 8),
    ]
    for (events, skipped) in cases {
      var conversation = Conversation(first + events)
      conversation.split = { count in isWhole ? [count] : Array(repeating: 1, count: count) }
      let counted = try Decoded(conversation).notices.flatMap(\.counters).filter { $0.name == "skipped_bytes" }.map(
        \.value)
      #expect(counted == (skipped > 0 ? [skipped] : []), "\(events)")
    }
  }

  @Test func attributesBelongToTheirValue() throws {
    let decoded = try Decoded(
      .command("GET a"), .server("|1\r\n+ttl\r\n:9\r\n$1\r\n1\r\n"), .command("GET b"), .server("$1\r\n2\r\n"))
    #expect(
      decoded.lines == ["GET [a] → bulk_string 1 attributes {+ttl: 9}", "GET [b] → bulk_string 2"])
  }

  /// Reply types that are cut off where an attribute still lacks its value leave well-formed exchanges.
  @Test func cutAnywhereInsideAReply() throws {
    let reply = Array(
      "*3\r\n%1\r\n+k\r\n|1\r\n+a\r\n:1\r\n$2\r\nxy\r\n|1\r\n+b\r\n~1\r\n$1\r\nz\r\n$?\r\n;1\r\nq\r\n;0\r\n*?\r\n:1\r\n.\r\n"
        .utf8)
    for length in 0...reply.count {
      let decoded = try Decoded(.command("GET a"), .server(Array(reply[..<length])))
      #expect(decoded.exchanges.count == 1)
      let lost = try Decoded(
        .command("GET a"), .server(Array(reply[..<length])), .serverGap(1000), .command("PING"), .server("+PONG\r\n"))
      #expect(lost.exchanges.first?.request == "GET [a]")
    }
  }
}
