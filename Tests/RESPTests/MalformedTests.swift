// Requests that break the protocol, or are not whole: what was read of them is shown, with the error that they got.
import Support
import TapWire
import Testing

@testable import RESP

@Suite struct MalformedTests {
  private static let before = "GET [a] → null null"
  private static let beforeEvents: [Event] = [.command("GET a"), .server("$-1\r\n")]

  /// What a client sends, redis-server's answer behind "ERR Protocol error: ", and how the request is shown.
  private static let requests: [(sent: String, error: String, request: String, flags: [String])] = [
    ("GET \"a\r\n", "unbalanced quotes in request", "GET [\"a]", ["malformed"]),
    ("set k v'x'y z\r\n", "unbalanced quotes in request", "SET [k, v'x'y z]", ["malformed"]),
    ("\"GET a\r\n", "unbalanced quotes in request", "(redacted) []", ["malformed"]),
    ("AUTH \"pass word\r\n", "unbalanced quotes in request", "AUTH [(redacted)]", ["malformed"]),
    (
      "CONFIG SET \"requirepass pw\r\n", "unbalanced quotes in request", "CONFIG [(redacted), (redacted)]",
      ["malformed"]
    ),
    ("*2147483648\r\n", "invalid multibulk length", "*2147483648\\r\\n []", ["malformed"]),
    ("*9223372036854775808\r\n", "invalid multibulk length", "*9223372036854775808 []", ["malformed"]),
    ("*x1\r\n", "invalid multibulk length", "*x []", ["malformed"]),
    ("*1\r\n:5\r\n", "expected '$', got ':'", "*1\\r\\n []", ["malformed"]),
    ("*2\r\n$-1\r\n", "invalid bulk length", "*2\\r\\n$-1\\r\\n []", ["malformed"]),
    ("*2\r\n$3\r\nGET\r\n$-5\r\n", "invalid bulk length", "GET cut[1, []]", ["cut", "malformed"]),
    ("*2\r\n$3\r\nGET\r\n+a\r\n", "expected '$', got '+'", "GET cut[1, []]", ["cut", "malformed"]),
    // The server's limits decide: proto-max-bulk-len, and less of both for who has not said a password yet.
    ("*1\r\n$99999999999\r\n", "invalid bulk length", "*1\\r\\n$99999999999\\r\\n []", ["malformed"]),
    ("*2\r\n$3\r\nGET\r\n$99999999999\r\n", "invalid bulk length", "GET [cut[99999999999, ]]", ["cut", "malformed"]),
    ("*11\r\n", "unauthenticated multibulk length", "*11\\r\\n []", ["malformed"]),
    (
      "*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$20000\r\npw", "unauthenticated bulk length",
      "AUTH [u, (redacted)]", ["cut", "malformed"]
    ),
  ]

  @Test(arguments: requests.indices, [true, false]) func isPairedWithItsError(_ index: Int, isWhole: Bool) throws {
    let wanted = Self.requests[index]
    let reply = Array("-ERR Protocol error: \(wanted.error)\r\n".utf8)
    let cases: [[Event]] = [
      [.client(wanted.sent), .server(reply)],
      // In order behind what was sent before it.
      [.command("GET b"), .client(wanted.sent), .server("$1\r\nv\r\n"), .server(reply)],
      // Recorded before it.
      [.server(reply), .client(wanted.sent)],
    ]
    for events in cases {
      var conversation = Conversation(Self.beforeEvents + events)
      conversation.split = { count in isWhole ? [count] : Array(repeating: 1, count: count) }
      let decoded = try Decoded(conversation)
      let last = try #require(decoded.exchanges.last)
      #expect(last.request == wanted.request)
      #expect(last.response == "error ERR Protocol error: \(wanted.error)")
      #expect(last.flags.filter { $0 != "clamped" } == wanted.flags)
      let others = events.count == 4 ? [Self.before, "GET [b] → bulk_string v"] : [Self.before]
      #expect(decoded.lines.dropLast() == others[...])
    }
  }

  /// The server reads nothing behind it: what a client sends there is no certain command any more.
  @Test func whatFollowsIsInDoubt() throws {
    let decoded = try Decoded(
      .command("GET a"), .client("GET \"a\r\n"), .client(encode("GET", "b")), .server("$1\r\n1\r\n"),
      .server("-ERR Protocol error: unbalanced quotes in request\r\n"))
    #expect(
      decoded.lines == [
        "GET [a] → bulk_string 1", "GET [\"a] → error ERR Protocol error: unbalanced quotes in request (malformed)",
        "GET [b] (unvouched, unanswered)",
      ])
  }

  /// Lines of more than 64 KiB: the server answers before their end has come.
  @Test(arguments: [true, false]) func linesThatAreTooLong(hasEnd: Bool) throws {
    let line = Array("GET ".utf8) + [UInt8](repeating: 0x78, count: 70_000) + (hasEnd ? Array("\r\n".utf8) : [])
    let decoded = try Decoded(
      .command("GET a"), .server("$-1\r\n"), .client(line), .server("-ERR Protocol error: too big inline request\r\n"))
    let last = try #require(decoded.exchanges.last)
    #expect(last.flags == ["cut", "malformed"])
    #expect(last.request?.hasPrefix("GET [cut[70000, xxxx") == true)
    #expect(last.response == "error ERR Protocol error: too big inline request")
  }

  /// Replies are switched off: nothing answers what breaks the protocol either.
  @Test func withoutReplies() throws {
    let decoded = try Decoded(.command("CLIENT REPLY OFF"), .client("GET \"a\r\n"))
    #expect(decoded.lines == ["CLIENT [REPLY, OFF] (no_reply)", "GET [\"a] (no_reply, malformed)"])
  }

  /// It changes nothing: the server has not run it.
  @Test func changesNothing() throws {
    let decoded = try Decoded(
      .command("GET a"), .server("$-1\r\n"), .client("SUBSCRIBE a 'b\r\n"),
      .server("-ERR Protocol error: unbalanced quotes in request\r\n"))
    #expect(
      decoded.lines.last
        == "SUBSCRIBE [a, 'b] → error ERR Protocol error: unbalanced quotes in request (malformed)")
  }

  @Test func inlineCommandsThatAreNotWhole() throws {
    let cases = [
      ("GET key", ["GET [key] (incomplete, unanswered)"]), ("get ", ["GET [] (incomplete, unanswered)"]),
      ("SET k 'v", ["SET [k, 'v] (incomplete, unanswered)"]),
      ("AUTH pa", ["AUTH [(redacted)] (incomplete, unanswered)"]),
      ("HELLO 3 AUTH ada pa", ["HELLO [(redacted), (redacted), (redacted), (redacted)] (incomplete, unanswered)"]),
      ("GE", []), ("'GET k", []),
    ]
    for (sent, shown) in cases {
      #expect(try Decoded(.command("GET a"), .server("$-1\r\n"), .client(sent)).lines == [Self.before] + shown)
    }
  }
}
