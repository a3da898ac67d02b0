// When pairs are certain behind a join or a loss: never while a command that nobody saw may still wait in the server.
import Testing

@testable import RESP

extension Event {
  /// Commands with their replies, each with a silence behind it: as many as make pairs certain.
  static let quietRounds: [Event] = Array(
    repeating: [.command("GET x"), .server("$-1\r\n"), .silence(milliseconds: 100)], count: QuietPoints.enough
  ).flatMap { $0 }
}

@Suite struct VouchingTests {
  private static func joined(_ events: [Event]) throws -> [Exchange] {
    var conversation = Conversation(events)
    conversation.isPreexisting = true
    return try Decoded(conversation).exchanges
  }

  private static func vouched(_ exchanges: [Exchange]) -> [String] {
    exchanges.filter { !$0.flags.contains("unvouched") }.map(\.description)
  }

  private static let pause = Event.silence(milliseconds: 200)

  @Test func ordinaryClientIsVouchedForSoon() throws {
    let round: [Event] = [.command("GET a"), .server("$1\r\n1\r\n"), Self.pause]
    let exchanges = try Self.joined(Array(repeating: round, count: 5).flatMap { $0 })
    #expect(exchanges.count == 5)
    #expect(Self.vouched(exchanges) == Array(repeating: "GET [a] → bulk_string 1", count: 2))
  }

  /// Replies that the commands cannot have tell how many are missing: from there on pairs are right, and not vouched for.
  @Test func blockedCommandsBeforeTheJoin() throws {
    let job = "*2\r\n$1\r\nq\r\n$3\r\njob\r\n"
    let exchanges = try Self.joined([
      .command("GET a"), .server(job), Self.pause, .command("GET b"), .server(job), Self.pause, .server("$1\r\nA\r\n"),
      .server("$1\r\nB\r\n"), Self.pause, .command("GET c"), .server("$1\r\nC\r\n"),
    ])
    #expect(Self.vouched(exchanges) == [])
    #expect(
      exchanges.map(\.description).filter { !$0.contains("unrequested") } == [
        "GET [a] → bulk_string A (unvouched)", "GET [b] → bulk_string B (unvouched)",
        "GET [c] → bulk_string C (unvouched)",
      ])
  }

  /// The same with replies that fit, and behind a gap.
  @Test(arguments: [true, false]) func scriptsThatRan(isJoin: Bool) throws {
    let before: [Event] = isJoin ? [] : [.command("GET x"), .server("$-1\r\n"), Self.pause, .clientGap(200)]
    var conversation = Conversation(
      before + [
        .command("GET a"), .server("$2\r\ns1\r\n"), Self.pause, .command("GET b"), .server("$2\r\ns2\r\n"), Self.pause,
        .command("GET c"), .server("$1\r\nA\r\n"), .server("$1\r\nB\r\n$1\r\nC\r\n"),
      ])
    conversation.isPreexisting = isJoin
    let exchanges = try Decoded(conversation).exchanges.dropFirst(isJoin ? 0 : 1)
    #expect(Self.vouched(Array(exchanges)) == [])
  }

  /// A busy connection is never quiet, but what comes back as it was sent tells which command it answers.
  @Test func echoesOfABusyConnection() throws {
    func echo(_ number: Int) -> Event { .command("ECHO value-\(number)") }
    func reply(_ number: Int) -> Event { .server(bulk("value-\(number)")) }
    let inFlight = 5
    let commands = (10..<60).map { [echo($0), reply($0 - inFlight)] }.flatMap { $0 }
    let rest: [Event] = [.command("GET k")] + (55..<60).map(reply) + [.server("$1\r\nv\r\n")]
    let exchanges = try Self.joined(commands + rest)
    #expect(exchanges.prefix(inFlight).allSatisfy { $0.request == nil && $0.flags.contains("unvouched") })
    #expect(
      exchanges.dropFirst(inFlight).map(\.description)
        == ["ECHO [value-10] → bulk_string value-10 (unvouched)"]
        + (11..<60).map { "ECHO [value-\($0)] → bulk_string value-\($0)" } + ["GET [k] → bulk_string v"])
  }

  /// Replies that were lost: the first that names its command tells which.
  @Test func echoBehindLostReplies() throws {
    let decoded = try Decoded(
      .command("INCR a"), .command("INCR b"), .serverGap(14), .command("ECHO one-1"), .command("ECHO two-2"),
      .command("GET c"), .server(bulk("two-2")), .server("$1\r\nc\r\n"))
    #expect(decoded.lines.suffix(2) == ["ECHO [two-2] → bulk_string two-2 (unvouched)", "GET [c] → bulk_string c"])
    #expect(decoded.exchanges.dropLast(2).allSatisfy { $0.flags == ["unvouched", "unanswered"] })
  }

  /// A value that is the same text: the command before the ECHO may have it.
  @Test func valueThatLooksLikeAnEcho() throws {
    let exchanges = try Self.joined([
      .command("PING"), .server("+PONG\r\n"),
      .client(encode("GET", "n") + encode("PING", "two-2") + encode("PING", "three-3") + encode("GET", "k")),
      .server(bulk("two-2") + bulk("two-2") + bulk("three-3") + bulk("v")),
    ])
    #expect(Self.vouched(exchanges) == ["GET [k] → bulk_string v"])
  }

  /// What is left of `[pong, three-3]`, its reply in RESP2's subscribed mode, tells the command but is not its reply.
  @Test func endOfAPong() throws {
    let decoded = try Decoded(
      .command("SUBSCRIBE a"), .server(confirmation("subscribe", "a", 1)),
      .command("PING one-1"), .serverGap(25),
      .client(encode("PING", "two-2") + encode("PING", "three-3") + encode("PING", "four-4")),
      .serverGap(39), .server(bulk("three-3") + Array("*2\r\n".utf8) + bulk("pong") + bulk("four-4")))
    #expect(
      decoded.vouchedLines == ["SUBSCRIBE [a] → array [subscribe, a, 1]", "PING [four-4] → array [pong, four-4]"])
  }

  /// Commands that were sent before one that was lost are vouched for, but not where it takes what else is known to pair them.
  @Test func commandsBeforeALostOne() throws {
    let subscriptions: [Event] = [
      .command("PSUBSCRIBE p"), .server(confirmation("psubscribe", "p", 1)), .command("SUBSCRIBE a"),
      .server(confirmation("subscribe", "a", 2)),
    ]
    let ends = confirmation("unsubscribe", "a", 1) + confirmation("unsubscribe", "b", 1)
    let decoded = try Decoded(
      Conversation(
        subscriptions + [.command("UNSUBSCRIBE"), .command("UNSUBSCRIBE b"), .clientGap(20), .server(ends)]))
    #expect(
      decoded.vouchedLines == [
        "PSUBSCRIBE [p] → array [psubscribe, p, 1]", "SUBSCRIBE [a] → array [subscribe, a, 2]",
      ])
    let transaction: [Event] = [
      .client(encode("MULTI") + encode("SUBSCRIBE", "a", "b") + encode("SET", "k", "v")),
      .server("+OK\r\n+QUEUED\r\n+QUEUED\r\n"), .command("EXEC"), .command("SET l v"), .clientGap(20),
    ]
    let array =
      Array("*2\r\n".utf8) + confirmation("subscribe", "a", 1) + confirmation("subscribe", "b", 2)
      + Array("+OK\r\n+OK\r\n".utf8)
    #expect(
      try Decoded(Conversation(transaction + [.server(array)])).vouchedLines == ["MULTI [] → simple_string OK"])
  }

  /// What a transaction holds was queued in doubt: no silence in it makes its pairs certain.
  @Test func silenceInATransaction() throws {
    let round: [Event] = [.command("GET a"), .server("+QUEUED\r\n"), Self.pause]
    let rounds = Array(repeating: round, count: 2).flatMap { $0 }
    let end: [Event] = [.command("EXEC"), .server("*4\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n")]
    let decoded = try Decoded(
      Conversation(
        [.command("SET a b"), .serverGap(5), .command("MULTI"), .server("+OK\r\n")] + rounds + rounds + end
          + Event.quietRounds))
    #expect(decoded.vouchedLines == ["GET [x] → null null", "GET [x] → null null"])
  }

  /// Always the same argument: any of them may be the one that is answered.
  @Test func sameEchoAgainAndAgain() throws {
    let round: [Event] = [.command("ECHO hello"), .server(bulk("hello"))]
    #expect(Self.vouched(try Self.joined(Array(repeating: round, count: 50).flatMap { $0 })) == [])
  }

  /// A server 250 ms away and a client that does not wait: what is pending at a silence is still under way.
  @Test(arguments: [false, true]) func longRoundTrips(isRequestLost: Bool) throws {
    let lost = 3
    var times: [(milliseconds: Int, event: Event)] = []
    for number in 0..<20 {
      let request = encode("GET", "k\(number)")
      let reply = bulk("v\(number)")
      let isLost = number == lost
      times.append((200 * number, isLost && isRequestLost ? .clientGap(request.count) : .client(request)))
      times.append((200 * number + 250, isLost && !isRequestLost ? .serverGap(reply.count) : .server(reply)))
    }
    times.sort { $0.milliseconds < $1.milliseconds }
    var events: [Event] = []
    var now = 0
    for (time, event) in times {
      if time > now { events.append(.silence(milliseconds: UInt64(time - now))) }
      now = time
      events.append(event)
    }
    #expect(
      try Decoded(Conversation(events)).vouchedLines == (0..<lost).map { "GET [k\($0)] → bulk_string v\($0)" })
  }

  /// Behind the loss of its header a value that looks like replies is taken for them, also where the server pauses in it.
  @Test func pauseInsideOfAValue() throws {
    let lines = String(repeating: ":1000\r\n", count: 20)
    let decoded = try Decoded(
      .command("SET a 1"), .server("+OK\r\n"), .command("GET big"), .serverGap(6), .server(lines), Self.pause,
      .command("INCR x"), .server(lines + "\r\n:7\r\n"), .command("INCR y"), .server(":8\r\n"))
    #expect(decoded.vouchedLines == ["SET [a, 1] → simple_string OK"])
  }

  /// Workers that wait for their next job, or run a script, and do one thing at a time.
  @Test(arguments: [
    ("BLPOP q 5", "*2\r\n$1\r\nq\r\n$3\r\njob\r\n"), ("EVALSHA abc 0", ":1\r\n"),
    ("XREADGROUP GROUP g c BLOCK 5 STREAMS s >", "*-1\r\n"),
  ]) func slowCommands(command: String, reply: String) throws {
    let round: [Event] = [.command(command), .silence(milliseconds: 20), .server(reply), Self.pause]
    let rounds = Array(repeating: round, count: 6).flatMap { $0 }
    let joined = try Self.joined(rounds)
    #expect(Self.vouched(joined).count == 3)
    let loss: [Event] = [.command(command), .serverGap(reply.utf8.count), Self.pause]
    let lossy = try Decoded(Conversation(rounds + loss + rounds + loss + rounds)).exchanges
    #expect(lossy.count == 20 && Self.vouched(lossy).count == 14)
  }

  /// A client that sends on while a command waits: what is pending at a silence may be just that.
  @Test func blockedCommandBehindALoss() throws {
    let job = "*2\r\n$1\r\nq\r\n$3\r\njob\r\n"
    let decoded = try Decoded(
      .client(encode("GET", "a") + encode("GET", "b")), .server("$1\r\n1\r\n"), .serverGap(7), .command("BLPOP q 0"),
      Self.pause, .command("BLPOP q 0"), .server(job), Self.pause, .command("BLPOP q 0"), .server(job), Self.pause,
      .command("BLPOP q 0"), .server(job))
    #expect(decoded.vouchedLines == ["GET [a] → bulk_string 1"])
  }

  /// One that took turns before the loss, and then does not any more.
  @Test func blockedCommandsOfAClientThatTookTurns() throws {
    let job = "*2\r\n$1\r\nq\r\n$3\r\njob\r\n"
    let turn: [Event] = [.command("BLPOP q 0"), .server(job)]
    let decoded = try Decoded(
      Conversation(
        turn + turn + turn + [
          .command("BLPOP q 0"), .serverGap(20), .command("GET a"), .server("$1\r\n1\r\n"), .command("BLPOP q 0"),
          .command("BLPOP q 0"), .server("$1\r\n2\r\n"), Self.pause, .command("LRANGE l 0 -1"), .server(job + job),
          .server("*1\r\n$1\r\n3\r\n"), Self.pause, .command("LRANGE l 0 -1"), .server("*1\r\n$1\r\n4\r\n"),
        ]))
    #expect(decoded.vouchedLines == Array(repeating: "BLPOP [q, 0] → array [q, job] (blocking)", count: 3))
  }

  /// Certainty that turns out to be none ends at once.
  @Test func contradictionWithdraws() throws {
    let exchanges = try Self.joined(
      Event.quietRounds + [
        .command("GET a"), .server("$1\r\na\r\n"), .command("INCR n"), .server(bulk("else")), .command("GET b"),
        .server(":1\r\n"), .server("$1\r\nb\r\n"),
      ])
    #expect(Self.vouched(exchanges) == ["GET [a] → bulk_string a"])
    #expect(exchanges.last?.description == "GET [b] → bulk_string b (unvouched)")
  }
}
