// Which flows are Redis: other protocols pass unchanged, and Redis is found wherever the capture joined it.
import Support
import TapWire
import Testing

@testable import RESP

@Suite struct ClaimTests {
  /// The first bytes of other protocols, in the order in which they are sent.
  private static let others: [(String, [Event])] = [
    ("HTTP", [.client("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), .server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]),
    ("HTTP with a known word", [.client("GET key HTTP/1.0\r\n\r\n"), .server("HTTP/1.0 404 Not Found\r\n\r\n")]),
    ("TLS", [.client([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3]), .server([0x16, 3, 3, 0, 2, 2, 0])]),
    ("memcached get", [.client("get key\r\n"), .server("VALUE key 0 1\r\nx\r\nEND\r\n")]),
    ("memcached set", [.client("set key 0 0 1\r\nx\r\n"), .server("STORED\r\n")]),
    ("memcached incr", [.client("incr key 1\r\n"), .server("2\r\n")]),
    ("memcached touch", [.client("touch key 0\r\n"), .server("TOUCHED\r\n")]),
    (
      "POP3",
      [
        .server("+OK POP3 ready\r\n"), .client("USER ada\r\n"), .server("+OK\r\n"), .client("PASS x\r\n"),
        .server("-ERR no\r\n"), .client("QUIT\r\n"), .server("+OK bye\r\n"),
      ]
    ),
    ("POP3 without a greeting", [.client("QUIT\r\n"), .server("+OK bye\r\n")]),
    ("POP3 AUTH", [.server("+OK ready\r\n"), .client("AUTH PLAIN\r\n"), .server("+ \r\n"), .client("AGEAYg==\r\n")]),
    ("SMTP", [.server("220 mx ESMTP\r\n"), .client("EHLO x\r\n"), .server("250 mx\r\n"), .client("QUIT\r\n")]),
    ("FTP", [.server("220 ready\r\n"), .client("TYPE I\r\n"), .server("200 ok\r\n"), .client("PING\r\n")]),
    ("IMAP", [.server("* OK ready\r\n"), .client("a1 LOGIN a b\r\n"), .server("a1 OK\r\n")]),
    ("MySQL", [.server([0x4a, 0, 0, 0, 10] + Array("8.0.30\0".utf8)), .client([0x20, 0, 0, 1, 0x85, 0xa6])]),
    ("PostgreSQL", [.client([0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]), .server("N")]),
    ("NATS", [.server("INFO {\"server_id\":\"x\"} \r\n"), .client("PING\r\n"), .server("PONG\r\n")]),
    ("SSH", [.server("SSH-2.0-OpenSSH_9.2\r\n"), .client("SSH-2.0-OpenSSH_9.2\r\n")]),
    (
      "Redis' cluster bus",
      [.client(Array("RCmb".utf8) + [0, 0, 8, 0x90, 0, 1]), .server(Array("RCmb".utf8) + [0, 0, 8])]
    ),
    ("nothing", []),
  ]

  @Test(arguments: others.indices, [true, false]) func otherProtocolsPass(_ index: Int, isWhole: Bool) throws {
    let (name, events) = Self.others[index]
    var conversation = Conversation(events)
    conversation.split = { count in isWhole ? [count] : Array(repeating: 1, count: count) }
    let decoded = try Decoded(conversation)
    #expect(decoded.exchanges.isEmpty, "\(name)")
    #expect(decoded.output == conversation.stream, "\(name) must pass byte for byte")
  }

  @Test func inlineRedisIsClaimedByItsReply() throws {
    #expect(try Decoded(.client("GET a\r\n"), .server("$-1\r\n")).lines == ["GET [a] → null null"])
    #expect(try Decoded(.client("PING\n"), .server("+PONG\r\n")).lines == ["PING [] → simple_string PONG"])
    #expect(try Decoded(.client("PING\n")).lines == [])
  }

  /// redis-server takes any line for a command, and repeats the word that it does not know.
  @Test(arguments: [("$0\r\n", "'"), ("foo bar\r\n", "`")], [true, false])
  func aRefusedWordIsRedis(_ refused: (line: String, quote: String), isWhole: Bool) throws {
    let word = refused.line.prefix { $0 != " " && $0 != "\r\n" }
    let answer = "-ERR unknown command \(refused.quote)\(word)\(refused.quote), with args beginning with: \r\n"
    var conversation = Conversation([.client(refused.line), .server(answer), .client("PING\r\n"), .server("+PONG\r\n")])
    conversation.split = { count in isWhole ? [count] : Array(repeating: 1, count: count) }
    let decoded = try Decoded(conversation)
    #expect(decoded.exchanges.map(\.flags) == [[], []])
    #expect(decoded.lines.last == "PING [] → simple_string PONG")
    // Somebody else's refusal, and that of another word.
    for other in ["-ERR unknown command\r\n", "-ERR unknown command '\(word)x'\r\n"] {
      #expect(try Decoded(.client(refused.line), .server(other)).lines == [])
    }
  }

  /// What breaks the protocol is still Redis: by its beginning, or by the answer that only redis-server gives.
  @Test func protocolErrorsAreRedis() throws {
    #expect(
      try Decoded(
        .client("*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n"), .server("-ERR Protocol error: expected '$', got 'f'\r\n")
      ).lines == [
        "SET cut[2, [x]] → error ERR Protocol error: expected '$', got 'f' (cut, malformed)"
      ])
    #expect(
      try Decoded(.client("*3000000000\r\n"), .server("-ERR Protocol error: invalid multibulk length\r\n")).lines == [
        "*3000000000\\r\\n [] → error ERR Protocol error: invalid multibulk length (malformed)"
      ])
  }

  /// Any command that redis-server has, not only those that people send by hand.
  @Test(arguments: ["HINCRBY h f 1", "eval_ro 'return 1' 0", "XADD s * a b", "SENTINEL masters", "\"LOLWUT\""])
  func anyInlineCommandIsClaimed(_ line: String) throws {
    let decoded = try Decoded(.client(line + "\r\n"), .server(":1\r\n"), .command("GET a"), .server("$-1\r\n"))
    #expect(decoded.lines.count == 2 && decoded.lines.last == "GET [a] → null null")
  }

  /// RESP that goes through another protocol, joined in its middle: an upload of an AOF file, a page about RESP, a message.
  @Test(
    arguments: [
      [
        .client("PUT /dump HTTP/1.1\r\nContent-Length: 54\r\n\r\n"), .command("SET a 1"), .command("SET b 2"),
        .server("HTTP/1.1 200 OK\r\n\r\n"),
      ],
      [.client("rest of the body\r\n"), .command("SET a 1"), .server("HTTP/1.1 200 OK\r\n\r\n")],
      [.command("SET a 1"), .command("SET b 2"), .server("HTTP/1.1 200 OK\r\n\r\n")],
      [.client("GET /doc HTTP/1.1\r\n\r\n"), .server("HTTP/1.1 200 OK\r\n\r\n$5\r\nhello\r\n")],
      [.server("$5\r\nhello\r\n"), .client("GET /next HTTP/1.1\r\n\r\n"), .server("HTTP/1.1 200 OK\r\n\r\n+OK\r\n")],
      [.client("RCmb\0\0\u{8}\n*1\r\n$4\r\nPING\r\n"), .server("RCmb\0\0\u{8}\n:1\r\n")],
      [.client("PING\r\nPUB a 1\r\nx\r\n"), .server("+OK\r\nPONG\r\n+OK\r\n")],
    ] as [[Event]], [Role.client, .server, .unknown])
  func othersThatCarryRESPPass(_ events: [Event], role: Role) throws {
    var conversation = Conversation(events)
    conversation.isPreexisting = true
    conversation.toldRole = role == .unknown ? .unknown : nil
    if role != .unknown { conversation.role = role }
    #expect(try Decoded(conversation).output == conversation.stream)
  }

  /// More than is held back of a flow: what passes is no reason to claim it, until both directions agree.
  @Test func aLongUploadPasses() throws {
    var upload = Conversation(
      [.client(Array("end of a line\r\n".utf8) + Array(repeating: encode("SET", "key", "value"), count: 5000).joined())]
        + [.server("HTTP/1.1 200 OK\r\n\r\n")])
    upload.isPreexisting = true
    upload.split = { count in Array(repeating: 1000, count: count / 1000) + [count % 1000] }
    #expect(try Decoded(upload).output == upload.stream)
    // The same of a value, behind which Redis shows itself.
    var value = Conversation([
      .client(String(repeating: "v", count: 200_000) + "\r\n"), .server("+OK\r\n"), .command("GET a"),
      .server("$1\r\n1\r\n"),
    ])
    value.isPreexisting = true
    value.split = { count in Array(repeating: 16_384, count: count / 16_384) + [count % 16_384] }
    #expect(try Decoded(value).lines.last == "GET [a] → bulk_string 1 (unvouched)")
  }

  /// Where the other direction is never seen, its end decides: a capture of one direction only.
  @Test(arguments: [true, false]) func oneDirectionAlone(isPreexisting: Bool) throws {
    var server = Conversation([.server("+OK\r\n"), .server("$2\r\nv1\r\n"), .server("*2\r\n$1\r\na\r\n$1\r\nb\r\n")])
    server.isPreexisting = isPreexisting
    server.role = .server
    #expect(
      try Decoded(server).exchanges.compactMap(\.response) == ["simple_string OK", "bulk_string v1", "array [a, b]"])
    var client = Conversation([.command("GET a"), .command("GET b")])
    client.isPreexisting = isPreexisting
    #expect(try Decoded(client).exchanges.compactMap(\.request) == ["GET [a]", "GET [b]"])
    // More than is held back of a reply whose request was before the capture.
    let large = Array("*3\r\n$1\r\na\r\n$1\r\nb\r\n$200000\r\n".utf8) + Array(repeating: 0x76, count: 200_000)
    var joined = Conversation([.server(large), .server("\r\n"), .command("GET a"), .server("$1\r\n1\r\n")])
    joined.isPreexisting = true
    joined.split = { count in Array(repeating: 16_384, count: count / 16_384) + [count % 16_384] }
    #expect(try Decoded(joined).lines.last == "GET [a] → bulk_string 1 (unvouched)")
    #expect(try Decoded(joined).exchanges.count == 2)
    // POP3 answers with lines that look like replies.
    var other = Conversation([.server("+OK ready\r\n"), .server("+OK\r\n-ERR no\r\n")])
    other.isPreexisting = isPreexisting
    #expect(try Decoded(other).output == other.stream)
  }

  /// A subscriber that was there before the capture says nothing.
  @Test func joinedSubscriber() throws {
    var conversation = Conversation([.server("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n")])
    conversation.isPreexisting = true
    conversation.isClosed = false
    #expect(try Decoded(conversation).lines == ["→ array [message, c, x] (unvouched, push)"])
  }

  @Test func inlineSyncIsClaimedByItsSnapshot() throws {
    #expect(
      try Decoded(.client("SYNC\r\n"), .server("\n"), .server("$9\r\n"), .server("REDIS0010")).lines
        == ["SYNC [] → rdb cut[9, REDIS0010] (cut, replication)"])
  }

  /// Several commands in a segment, those among them that redis-server skips or takes as a line.
  @Test func anySegments() throws {
    let scripts: [(String, String)] = [
      ("*1\r\n$4\r\nPING\r\nPING\r\n", "+PONG\r\n+PONG\r\n"),
      ("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n*0\r\n", "+OK\r\n"),
      ("*0\r\n*-1\r\n\r\n*1\r\n$4\r\nPING\r\n", "+PONG\r\n"),
      ("PING\r\n*0\r\n*1\r\n$4\r\nPING\r\n", "+PONG\r\n+PONG\r\n"),
      ("PING\r\n*2\r\n$4\r\nKEYS\r\n$1\r\n*\r\n", "+PONG\r\n*?\r\n.\r\n"),
      ("\r\nPING\r\nGET a\r\n", "+PONG\r\n$-1\r\n"),
      ("*1\r\n$5\r\n+PONG\r\nPING\r\n", "-ERR no command '+PONG'\r\n+PONG\r\n"),
    ]
    for (requests, replies) in scripts {
      let whole = try Decoded(.client(requests), .server(replies))
      #expect(!whole.lines.isEmpty && !whole.lines.joined().contains("un"), "\(requests): \(whole.lines)")
      var generator = SeededGenerator(seed: UInt64(requests.utf8.count))
      for _ in 0..<40 {
        var pieces = generator
        var conversation = Conversation([.client(requests), .server(replies)])
        conversation.split = { randomPieces($0, upTo: 12, &pieces) }
        #expect(try Decoded(conversation).lines == whole.lines, "\(requests)")
        _ = generator.next()
      }
    }
  }

  /// The first reply tells, whatever stands behind it in its segment.
  @Test(arguments: [true, false]) func firstReplyIsEnough(_ isWhole: Bool) throws {
    var conversation = Conversation([.client("PING\r\n"), .server("+PONG\r\n\0no RESP\r\n")])
    conversation.split = { count in isWhole ? [count] : Array(repeating: 1, count: count) }
    #expect(try Decoded(conversation).lines == ["PING [] → simple_string PONG"])
  }

  @Test(arguments: [Role.client, .server]) func eitherSide(_ role: Role) throws {
    var conversation = Conversation([.command("GET a"), .server("$-1\r\n")])
    conversation.role = role
    #expect(try Decoded(conversation).lines == ["GET [a] → null null"])
  }

  /// Nobody knows which side the process is, nor what came before: an array of strings may be either's.
  @Test(arguments: [Role.client, .server]) func joinedOnAnUnknownSide(_ role: Role) throws {
    let scripts: [[Event]] = [
      [.command("GET a"), .command("GET b"), .server("$1\r\n1\r\n$1\r\n2\r\n")],
      [.server("*2\r\n$1\r\nx\r\n$1\r\ny\r\n"), .command("GET a"), .server("$1\r\n1\r\n")],
      [.command("MODULE.ANY a"), .server(":1\r\n"), .command("MODULE.ANY b"), .server("*1\r\n$1\r\nx\r\n")],
      [.client("GET a\r\n"), .server("$1\r\n1\r\n"), .command("GET b"), .server("$1\r\n2\r\n")],
    ]
    for script in scripts {
      var conversation = Conversation(script)
      conversation.isPreexisting = true
      conversation.role = role
      let known = try Decoded(conversation).lines
      conversation.toldRole = .unknown
      #expect(try Decoded(conversation).lines == known)
    }
    // Nothing tells whose these are.
    var conversation = Conversation([.client("*2\r\n$1\r\nx\r\n$1\r\ny\r\n")])
    conversation.isPreexisting = true
    conversation.toldRole = .unknown
    #expect(try Decoded(conversation).output == conversation.stream)
  }

  /// Joined at any byte of a conversation: what follows is found, and nothing is made up.
  @Test func joinedAtEveryByte() throws {
    let request = encode("SET", "key", "some\r\nvalue") + encode("GET", "key")
    let reply = Array("+OK\r\n$11\r\nsome\r\nvalue\r\n".utf8)
    let rest: [Event] =
      [
        .command("MGET a b"), .server("*2\r\n$1\r\n1\r\n$1\r\n2\r\n"), .command("GET a"), .server("$1\r\n1\r\n"),
        .silence(milliseconds: 100),
      ] + Event.quietRounds + [.command("GET b"), .server("$1\r\n2\r\n")]
    for start in 0...(request.count + reply.count) {
      let events: [Event] =
        start < request.count
        ? [.client(Array(request[start...])), .server(reply)] : [.server(Array(reply[(start - request.count)...]))]
      var conversation = Conversation(events + rest)
      conversation.isPreexisting = true
      let decoded = try Decoded(conversation)
      #expect(decoded.lines.last == "GET [b] → bulk_string 2", "joined at byte \(start)")
      for exchange in decoded.exchanges.dropLast(2) where exchange.request?.hasPrefix("GET [x]") != true {
        #expect(exchange.flags.contains("unvouched"), "joined at byte \(start): \(exchange)")
      }
    }
  }

  /// Joined inside of a value of a megabyte that says nothing.
  @Test func joinedInsideALargeValue() throws {
    let rest = [UInt8](repeating: 0x78, count: 1 << 20) + [0x0d, 0x0a]
    var conversation = Conversation(
      [
        .client(rest), .server("+OK\r\n"), .command("GET a"), .server("$1\r\n1\r\n"), .silence(milliseconds: 100),
      ] + Event.quietRounds + [.command("GET b"), .server("$1\r\n2\r\n")])
    conversation.isPreexisting = true
    conversation.split = { count in
      Array(repeating: 16_384, count: count / 16_384) + (count % 16_384 > 0 ? [count % 16_384] : [])
    }
    #expect(try Decoded(conversation).lines.last == "GET [b] → bulk_string 2")
  }
}
