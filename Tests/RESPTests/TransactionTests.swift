// Transactions: each queued command meets its own part of EXEC's reply, and none where it was not executed.
import Support
import TapWire
import Testing

@testable import RESP

@Suite struct TransactionTests {
  private static let queued: Event = .server("+QUEUED\r\n")

  /// A transaction of these commands, one after the other, and EXEC's reply.
  private static func decode(_ commands: [String], exec reply: String, then: [Event] = []) throws -> [String] {
    var events: [Event] = [.command("MULTI"), .server("+OK\r\n")]
    for command in commands { events += [.command(command), queued] }
    return try Decoded(Conversation(events + [.command("EXEC"), .server(reply)] + then)).lines
  }

  @Test func eachCommandGetsItsReply() throws {
    #expect(
      try Self.decode(
        ["SET a 1", "INCR a", "LPUSH a x", "GET a", "MGET a b"],
        exec: "*5\r\n+OK\r\n:2\r\n-WRONGTYPE Operation\r\n$1\r\n2\r\n*2\r\n$1\r\n2\r\n$-1\r\n") == [
          "MULTI [] → simple_string OK", "SET [a, 1] → simple_string OK (queued)", "INCR [a] → integer 2 (queued)",
          "LPUSH [a, x] → error WRONGTYPE Operation (queued)", "GET [a] → bulk_string 2 (queued)",
          "MGET [a, b] → array [2, null] (queued)", "EXEC [] → array [+OK, 2, -WRONGTYPE Operation, 2, [2, null]]",
        ])
  }

  /// Pipelined in one piece, and answered in one piece.
  @Test func pipelined() throws {
    let decoded = try Decoded(
      .client(encode("MULTI") + encode("SET", "a", "1") + encode("GET", "a") + encode("EXEC") + encode("GET", "a")),
      .server("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n$1\r\n1\r\n$1\r\n1\r\n"))
    #expect(
      decoded.lines == [
        "MULTI [] → simple_string OK", "SET [a, 1] → simple_string OK (queued)", "GET [a] → bulk_string 1 (queued)",
        "EXEC [] → array [+OK, 1]", "GET [a] → bulk_string 1",
      ])
  }

  /// Every type of RESP3 as a reply of its own.
  @Test func types() throws {
    let values: [(reply: String, line: String)] = [
      ("#t", "boolean true"), ("#f", "boolean false"), ("_", "null null"), (",3.25", "double 3.25"),
      (",inf", "double inf"), (":-7", "integer -7"),
      ("(3492890328409238509324850943850943825024385", "big_number big0x"),
      ("=7\r\ntxt:abc", "verbatim_string abc response_format txt"), ("!5\r\nERR x", "error ERR x"),
      ("%1\r\n+k\r\n:1", "map {+k: 1}"), ("~1\r\n:1", "set [1]"), ("*0", "array []"),
      ("|1\r\n+ttl\r\n:9\r\n$1\r\nv", "bulk_string v attributes {+ttl: 9}"),
    ]
    let lines = try Self.decode(
      values.map { _ in "GET a" }, exec: "*\(values.count)\r\n" + values.map { $0.reply + "\r\n" }.joined())
    #expect(lines.count == values.count + 2)
    for (line, value) in zip(lines.dropFirst(), values) {
      #expect(line.hasPrefix("GET [a] → \(value.line)") && line.hasSuffix(" (queued)"))
    }
  }

  /// What was queued and not executed keeps the only reply that it got.
  @Test(arguments: [
    ("EXEC", "*-1\r\n", "EXEC [] → null null"), ("EXEC", "_\r\n", "EXEC [] → null null"),
    ("EXEC", "-EXECABORT Transaction discarded\r\n", "EXEC [] → error EXECABORT Transaction discarded"),
    ("DISCARD", "+OK\r\n", "DISCARD [] → simple_string OK"), ("RESET", "+RESET\r\n", "RESET [] → simple_string RESET"),
  ]) func notExecuted(command: String, reply: String, line: String) throws {
    let decoded = try Decoded(
      .command("MULTI"), .server("+OK\r\n"), .command("GET a"), Self.queued, .command(command), .server(reply),
      .command("GET b"), .server("$-1\r\n"))
    #expect(
      decoded.lines == [
        "MULTI [] → simple_string OK", "GET [a] → simple_string QUEUED (queued)", line, "GET [b] → null null",
      ])
  }

  @Test func errorsWhileQueueing() throws {
    let decoded = try Decoded(
      .command("MULTI"), .server("+OK\r\n"), .command("MULTI"), .server("-ERR MULTI calls can not be nested\r\n"),
      .command("GET"), .server("-ERR wrong number of arguments for 'get' command\r\n"), .command("GET a"), Self.queued,
      .command("EXEC"), .server("-EXECABORT Transaction discarded\r\n"))
    #expect(
      decoded.lines == [
        "MULTI [] → simple_string OK", "MULTI [] → error ERR MULTI calls can not be nested",
        "GET [] → error ERR wrong number of arguments for 'get' command", "GET [a] → simple_string QUEUED (queued)",
        "EXEC [] → error EXECABORT Transaction discarded",
      ])
  }

  @Test func endsBeforeExec() throws {
    #expect(
      try Decoded(.command("MULTI"), .server("+OK\r\n"), .command("GET a"), Self.queued, .command("GET b")).lines == [
        "MULTI [] → simple_string OK", "GET [a] → simple_string QUEUED (queued)", "GET [b] (unanswered)",
      ])
  }

  private static func confirmation(_ word: String, _ channel: String, _ count: Int, type: String = "*") -> String {
    "\(type)3\r\n$\(word.utf8.count)\r\n\(word)\r\n$\(channel.utf8.count)\r\n\(channel)\r\n:\(count)\r\n"
  }

  /// redis-server 7.0: the head of EXEC's array counts commands, and SUBSCRIBE x y writes two elements; with RESP3 both are
  /// pushes in the elements' place, also where the array ends with them. A message in between is no element.
  @Test(arguments: ["*", ">"]) func subscriptions(type: String) throws {
    let hello: [Event] = [.command("HELLO 3"), .server("%1\r\n$5\r\nproto\r\n:3\r\n")]
    let message = ">3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\nm\r\n"
    let events: [Event] =
      (type == ">" ? hello : []) + [
        .command("MULTI"), .server("+OK\r\n"), .command("SET a 1"), Self.queued, .command("SUBSCRIBE x y"), Self.queued,
        .command("PING"), Self.queued, .command("UNSUBSCRIBE y"), Self.queued, .command("EXEC"),
        .server("*4\r\n+OK\r\n" + Self.confirmation("subscribe", "x", 1, type: type)),
        .server(type == ">" ? message : ""),
        .server(Self.confirmation("subscribe", "y", 2, type: type) + "+PONG\r\n"),
        .server(Self.confirmation("unsubscribe", "y", 1, type: type)), .command("PUNSUBSCRIBE"),
        .server(Self.confirmation("punsubscribe", "", 1, type: type)),
      ]
    let lines = try Decoded(Conversation(events)).lines.filter { !$0.contains("HELLO") && !$0.contains("(push)") }
    #expect(
      lines == [
        "MULTI [] → simple_string OK", "SET [a, 1] → simple_string OK (queued)",
        "SUBSCRIBE [x, y] → array [[subscribe, x, 1], [subscribe, y, 2]] (queued)",
        "PING [] → simple_string PONG (queued)",
        "UNSUBSCRIBE [y] → array [unsubscribe, y, 1] (queued)",
        "EXEC [] → array [+OK, [subscribe, x, 1], [subscribe, y, 2], +PONG, [unsubscribe, y, 1]]",
        "PUNSUBSCRIBE [] → \(type == ">" ? "push" : "array") [punsubscribe, , 1]",
      ])
  }

  /// A gap in a confirmation that is a push in EXEC's array is a gap in the array.
  @Test func gapInAConfirmation() throws {
    let confirmation = Array(Self.confirmation("subscribe", "xyz", 1, type: ">").utf8)
    let decoded = try Decoded(
      .command("HELLO 3"), .server("%1\r\n$5\r\nproto\r\n:3\r\n"), .command("MULTI"), .server("+OK\r\n"),
      .command("SUBSCRIBE xyz"), Self.queued, .command("EXEC"),
      .server(Array("*1\r\n".utf8) + confirmation.dropLast(8)), .serverGap(2), .server(Array(confirmation.suffix(6))))
    #expect(
      decoded.lines.suffix(2) == [
        "SUBSCRIBE [xyz] → array [subscribe, cut[3, x], 1] (cut, gap, unvouched, queued)",
        "EXEC [] → array [[subscribe, cut[3, x], 1]] (cut, gap, unvouched)",
      ])
  }

  /// redis-server 7.0: OFF silences the rest of the array whose head is out already, SKIP the command behind EXEC.
  @Test func repliesSwitchedOff() throws {
    #expect(
      try Self.decode(
        ["SET a 1", "CLIENT REPLY OFF", "GET a"], exec: "*3\r\n+OK\r\n",
        then: [.command("GET a"), .command("CLIENT REPLY ON"), .server("+OK\r\n")]) == [
          "MULTI [] → simple_string OK", "SET [a, 1] → simple_string OK (queued)",
          "CLIENT [REPLY, OFF] (no_reply, queued)", "GET [a] (no_reply, queued)", "EXEC [] → array [+OK]",
          "GET [a] (no_reply)", "CLIENT [REPLY, ON] → simple_string OK",
        ])
    #expect(
      try Self.decode(
        ["CLIENT REPLY SKIP", "GET a"], exec: "*2\r\n$1\r\n1\r\n",
        then: [.command("GET b"), .command("GET c"), .server("$1\r\n3\r\n")]) == [
          "MULTI [] → simple_string OK", "CLIENT [REPLY, SKIP] (no_reply, queued)", "GET [a] → bulk_string 1 (queued)",
          "EXEC [] → array [1]", "GET [b] (no_reply)", "GET [c] → bulk_string 3",
        ])
    #expect(
      try Self.decode(
        ["CLIENT REPLY OFF"], exec: "*-1\r\n", then: [.command("GET b"), .server("$1\r\n3\r\n")]
      ).suffix(3) == [
        "CLIENT [REPLY, OFF] → simple_string QUEUED (queued)", "EXEC [] → null null", "GET [b] → bulk_string 3",
      ])
  }

  /// RESET is answered even while replies are off.
  @Test func resetWhileRepliesAreOff() throws {
    #expect(
      try Decoded(
        .command("CLIENT REPLY OFF"), .command("RESET"), .server("+RESET\r\n"), .command("GET a"), .server("$-1\r\n")
      )
      .lines == ["CLIENT [REPLY, OFF] (no_reply)", "RESET [] → simple_string RESET", "GET [a] → null null"])
  }

  /// A password that is set in a transaction, and that EXEC's reply repeats.
  @Test func secrets() throws {
    let lines = try Self.decode(
      ["CONFIG GET requirepass", "AUTH ada hunter2"], exec: "*2\r\n*2\r\n$11\r\nrequirepass\r\n$7\r\nhunter2\r\n+OK\r\n"
    )
    #expect(!lines.joined().contains("hunter2"))
    #expect(lines.contains("CONFIG [GET, requirepass] → array [requirepass, (redacted)] (queued)"))
  }

  /// Values that are waiting for EXEC are cut like all others, and each stays with its command.
  @Test func largeValues() throws {
    let value = String(repeating: "v", count: 3 << 20)
    var events: [Event] = [.command("MULTI"), .server("+OK\r\n")]
    for index in 0..<16 { events += [.client(encode("SET", "k\(index)", value)), Self.queued] }
    let replies = (0..<16).map { ":\($0)\r\n" }.joined()
    let lines = try Decoded(Conversation(events + [.command("EXEC"), .server("*16\r\n" + replies)])).lines
    #expect(lines.count == 18)
    for index in 0..<16 {
      #expect(lines[index + 1].hasPrefix("SET [k\(index), "))
      #expect(
        lines[index + 1].hasSuffix(" → integer \(index) (queued)")
          || lines[index + 1].hasSuffix(" → integer \(index) (cut, queued)"))
    }
    #expect(lines.contains { $0.contains("cut[3145728") })
  }

  /// What is behind the gap has no reply that was seen.
  @Test func gapThatTakesTheRestOfTheReply() throws {
    let lines = try Self.decode(
      ["GET a", "GET b", "GET c"], exec: "*3\r\n$1\r\nx\r\n$9\r\nab", then: [.serverGap(60), .command("PING")])
    #expect(
      lines.prefix(5) == [
        "MULTI [] → simple_string OK", "GET [a] → bulk_string x (queued)",
        "GET [b] → bulk_string cut[9, ab] (cut, gap, queued)", "GET [c] (gap, unanswered, queued)",
        "EXEC [] → array cut[3, [x, cut[9, ab]]] (cut, gap)",
      ])
  }

  /// Bytes of EXEC's reply are missing inside of one value: only that value is cut.
  @Test func gapInsideOfAReply() throws {
    #expect(
      try Self.decode(
        ["GET a", "GET b"], exec: "*2\r\n$10\r\nab",
        then: [.serverGap(6), .server("ij\r\n$1\r\nx\r\n")]) == [
          "MULTI [] → simple_string OK", "GET [a] → bulk_string cut[10, ab] (cut, gap, queued)",
          "GET [b] → bulk_string x (queued)", "EXEC [] → array [cut[10, ab], x] (cut, gap)",
        ])
  }
}
