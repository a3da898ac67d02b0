// Confirmations that are not as many as they seem, or that nobody asked for.
import Testing

@testable import RESP

@Suite struct SubscriptionTests {
  private static let hello: [Event] = [.command("HELLO 3"), .server("%1\r\n$5\r\nproto\r\n:3\r\n")]
  private static let pause = Event.silence(milliseconds: 200)

  /// Redis 7 in a cluster: a slot moves to another node, and with it the subscriptions to its shard channels end.
  @Test func unaskedInRESP2() throws {
    let decoded = try Decoded(
      .command("SSUBSCRIBE a"), .server(confirmation("ssubscribe", "a", 1)),
      .server(confirmation("sunsubscribe", "a", 0)), .command("PING"), .server("+PONG\r\n"), .command("GET k1"),
      .server("$2\r\nv1\r\n"))
    #expect(
      decoded.lines == [
        "SSUBSCRIBE [a] → array [ssubscribe, a, 1]", "→ array [sunsubscribe, a, 0] (push)",
        "PING [] → simple_string PONG", "GET [k1] → bulk_string v1",
      ])
  }

  @Test(arguments: [false, true]) func unaskedInRESP3(isBehindRequest: Bool) throws {
    let request: Event = .command("SSUBSCRIBE b")
    let unasked: Event = .server(confirmation("sunsubscribe", "a", 0, type: ">"))
    let decoded = try Decoded(
      Conversation(
        Self.hello + [
          .command("SSUBSCRIBE a"), .server(confirmation("ssubscribe", "a", 1, type: ">")),
          isBehindRequest ? request : unasked, isBehindRequest ? unasked : request,
          .server(confirmation("ssubscribe", "b", 1, type: ">")), .command("SUNSUBSCRIBE b"),
          .server(confirmation("sunsubscribe", "b", 0, type: ">")),
        ]))
    #expect(
      decoded.lines.dropFirst() == [
        "SSUBSCRIBE [a] → push [ssubscribe, a, 1]", "→ push [sunsubscribe, a, 0] (push)",
        "SSUBSCRIBE [b] → push [ssubscribe, b, 1]", "SUNSUBSCRIBE [b] → push [sunsubscribe, b, 0]",
      ])
  }

  /// How many the last command ends depends on what the transaction itself has begun: nobody vouches for that.
  @Test func unsubscribeBehindSubscribeInATransaction() throws {
    let decoded = try Decoded(
      .client(encode("MULTI") + encode("SUBSCRIBE", "a", "b") + encode("UNSUBSCRIBE") + encode("EXEC")),
      .server("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n"),
      .server(confirmation("subscribe", "a", 1) + confirmation("subscribe", "b", 2)),
      .server(confirmation("unsubscribe", "b", 1) + confirmation("unsubscribe", "a", 0)), .command("GET k1"),
      .server("$2\r\nv1\r\n"))
    #expect(decoded.vouchedLines == ["MULTI [] → simple_string OK"])
  }

  /// EXEC's array was read before anybody knew what is in it: as many elements as its head says, which are too few.
  @Test(arguments: ["*", ">"]) func transactionRecordedBehindItsReplies(type: String) throws {
    let commands = encode("MULTI") + encode("SUBSCRIBE", "a", "b") + encode("GET", "k") + encode("EXEC")
    let replies: [Event] = [
      .server("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n"),
      .server(confirmation("subscribe", "a", 1, type: type) + confirmation("subscribe", "b", 2, type: type)),
      .server("$1\r\nv\r\n"),
    ]
    let rest: [Event] = [
      .command("PING x1"), .server(type == "*" ? "*2\r\n$4\r\npong\r\n$2\r\nx1\r\n" : "$2\r\nx1\r\n"),
    ]
    let first: [Event] = [.command("PING"), .server("+PONG\r\n")]
    let begin = (type == ">" ? Self.hello : []) + first
    let early = try Decoded(Conversation(begin + replies + [.client(commands)] + rest))
    #expect(
      early.vouchedLines.filter { !$0.contains("HELLO") && !$0.contains("(push)") } == [
        "PING [] → simple_string PONG", "MULTI [] → simple_string OK (clamped)",
      ])
    let late = try Decoded(Conversation(begin + [.client(commands)] + replies + rest))
    #expect(late.lines == late.vouchedLines)
  }

  /// Confirmations were lost: how many an UNSUBSCRIBE without arguments ends is not known when certainty is back.
  @Test func countsAfterALoss() throws {
    let lost = confirmation("subscribe", "a", 1) + confirmation("subscribe", "b", 2)
    let pings: [Event] = (1...3).flatMap { number -> [Event] in
      [.command("PING x\(number)"), .server("*2\r\n$4\r\npong\r\n$2\r\nx\(number)\r\n"), Self.pause]
    }
    let decoded = try Decoded(
      Conversation(
        [.command("SUBSCRIBE a b"), .serverGap(lost.count), Self.pause] + pings + [
          .client(encode("UNSUBSCRIBE") + encode("GET", "k1")),
          .server(confirmation("unsubscribe", "a", 1) + confirmation("unsubscribe", "b", 0) + bulk("v1")),
        ]))
    #expect(decoded.vouchedLines.count == 1 && decoded.vouchedLines[0].hasPrefix("PING [x3]"))
    #expect(
      decoded.lines.suffix(2) == [
        "UNSUBSCRIBE [] → array [[unsubscribe, a, 1], [unsubscribe, b, 0]] (unvouched)",
        "GET [k1] → bulk_string v1 (unvouched)",
      ])
  }

  /// None is left behind the first confirmation: it is the only one, whatever was lost before.
  @Test func lastSubscriptionAfterALoss() throws {
    let lost = confirmation("subscribe", "a", 1)
    let pings: [Event] = (1...3).flatMap { number -> [Event] in
      [.command("PING x\(number)"), .server("*2\r\n$4\r\npong\r\n$2\r\nx\(number)\r\n"), Self.pause]
    }
    let decoded = try Decoded(
      Conversation(
        [.command("SUBSCRIBE a"), .serverGap(lost.count), Self.pause] + pings + [
          .client(encode("UNSUBSCRIBE") + encode("GET", "k1")),
          .server(confirmation("unsubscribe", "a", 0) + bulk("v1")),
        ]))
    #expect(
      decoded.vouchedLines.suffix(2) == ["UNSUBSCRIBE [] → array [unsubscribe, a, 0]", "GET [k1] → bulk_string v1"])
  }

  /// Bytes of a confirmation's text are missing: it is none any more to look at, and the array around it takes what follows.
  @Test func gapInAConfirmationOfATransaction() throws {
    let push = confirmation("subscribe", "abc", 1, type: ">")
    let decoded = try Decoded(
      Conversation(
        Self.hello + [
          .client(encode("MULTI") + encode("SUBSCRIBE", "abc") + encode("GET", "k0") + encode("EXEC")),
          .server("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n"), .server(Array(push[..<10])), .serverGap(4),
          .server(push[14...] + bulk("v0")), .command("GET k1"), .server(bulk("v1")),
        ]))
    #expect(decoded.vouchedLines.filter { !$0.contains("HELLO") } == ["MULTI [] → simple_string OK"])
  }

  /// The same of one that was recorded before its request.
  @Test func gapInAConfirmationBeforeItsRequest() throws {
    let early = confirmation("subscribe", "a", 1)
    let decoded = try Decoded(
      Conversation([
        .command("PING"), .server("+PONG\r\n"), .server(Array(early[..<10])), .serverGap(4),
        .server(early[14...] + confirmation("subscribe", "b", 2)),
        .command("SUBSCRIBE a b"), .command("PING x"), .server("*2\r\n$4\r\npong\r\n$1\r\nx\r\n"),
      ]))
    #expect(decoded.vouchedLines == ["PING [] → simple_string PONG"])
  }

  /// Attributes may stand before any type (RESP3), before a push too.
  @Test func attributesOfAPush() throws {
    let decoded = try Decoded(
      Conversation(
        Self.hello + [
          .server("|1\r\n+a\r\n:1\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"), .command("GET k"),
          .server("$1\r\nv\r\n"),
        ]))
    #expect(
      decoded.lines.dropFirst() == [
        "→ push [invalidate, [k]] attributes {+a: 1} (push)", "GET [k] → bulk_string v",
      ])
  }
}
