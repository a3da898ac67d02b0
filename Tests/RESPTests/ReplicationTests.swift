// Replication links: the handshake, the snapshot in all its forms, the commands behind it, and losses in each of them.
import Support
import TapWire
import Testing

@testable import RESP

@Suite struct ReplicationTests {
  private static let handshake: [Event] = [
    .command("PING"), .server("+PONG\r\n"), .command("REPLCONF listening-port 6380"), .server("+OK\r\n"),
    .command("PSYNC ? -1"),
  ]
  private static let answer = "+FULLRESYNC 8a28b05e8fd3b7d5f7e9d3b5d3c2a1908f7e6d5c 0\r\n"
  private static let mark = String(repeating: "0123456789", count: 4)
  /// A snapshot that holds what looks like the stream behind it, and the beginning of the mark.
  private static let snapshot = "REDIS0010 *1\r\n$4\r\nPING\r\n 0123456789012"
  private static let stream = "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*3\r\n$3\r\nset\r\n$1\r\na\r\n$1\r\n1\r\n"

  private static let expected = [
    "PING [] → simple_string PONG", "REPLCONF [listening-port, 6380] → simple_string OK",
    "PSYNC [?, -1] → simple_string FULLRESYNC 8a28b05e8fd3b7d5f7e9d3b5d3c2a1908f7e6d5c 0",
    "→ rdb cut[\(snapshot.utf8.count), REDIS0010] (cut, replication)", "SELECT [3] (replication)",
    "SET [a, 1] (replication)", "REPLCONF [ACK, 14] (no_reply, replication)",
    "REPLCONF [GETACK, *] (replication)",
  ]

  private static func conversation(_ head: String, _ end: String) -> Conversation {
    Conversation(
      handshake + [
        .server("\n"), .server("\n\n" + answer + head + snapshot + end + stream), .client("\n"),
        .command("REPLCONF ACK 14"),
        .server(encode("REPLCONF", "GETACK", "*")),
      ])
  }

  /// With a length, and with a mark; whole, in single bytes, and in pieces that cut the mark anywhere.
  @Test(arguments: [1, 2, 7, 13, 39, 40, 41, 1000]) func snapshots(pieceBytes: Int) throws {
    for (head, end) in [("$\(Self.snapshot.utf8.count)\r\n", ""), ("$EOF:\(Self.mark)\r\n", Self.mark)] {
      var conversation = Self.conversation(head, end)
      conversation.split = { count in
        stride(from: 0, to: count, by: pieceBytes).map { min(pieceBytes, count - $0) }
      }
      #expect(try Decoded(conversation).lines == Self.expected)
    }
  }

  @Test func continuation() throws {
    let decoded = try Decoded(
      .command("PSYNC 8a28b05e8fd3b7d5f7e9d3b5d3c2a1908f7e6d5c 15"), .server("+CONTINUE\r\n" + Self.stream))
    #expect(
      decoded.lines == [
        "PSYNC [8a28b05e8fd3b7d5f7e9d3b5d3c2a1908f7e6d5c, 15] → simple_string CONTINUE", "SELECT [3] (replication)",
        "SET [a, 1] (replication)",
      ])
  }

  /// The snapshot on a connection of its own: of Redis 8 the stream follows at once, of Valkey 8 behind a second PSYNC.
  @Test func snapshotOnAnotherConnection() throws {
    let stream = ["SELECT [3] (replication)", "SET [a, 1] (replication)"]
    #expect(
      try Decoded(.command("PSYNC ? -1"), .server("+RDBCHANNELSYNC 7\r\n"), .server(Self.stream)).lines
        == ["PSYNC [?, -1] → simple_string RDBCHANNELSYNC 7"] + stream)
    #expect(
      try Decoded(
        .command("PSYNC ? -1"), .server("+DUALCHANNELSYNC\r\n"), .command("PSYNC 8a28b05e 12"),
        .server("+CONTINUE\r\n" + Self.stream)
      ).lines == [
        "PSYNC [?, -1] → simple_string DUALCHANNELSYNC", "PSYNC [8a28b05e, 12] → simple_string CONTINUE",
      ] + stream)
    for (head, end) in [("$9\r\n", ""), ("$EOF:\(Self.mark)\r\n", Self.mark)] {
      let offset = "$ENDOFF:12 8a28b05e8fd3b7d5f7e9d3b5d3c2a1908f7e6d5c 0 7\r\n"
      #expect(
        try Decoded(.command("SYNC"), .server("\n" + offset), .server(head + "REDIS0011" + end)).lines
          == ["SYNC [] → rdb cut[9, REDIS0011] (cut, replication)"])
    }
  }

  /// The old form has no line before the snapshot, which is its answer: the latency is that of the transfer.
  @Test func oldSync() throws {
    let decoded = try Decoded(
      .command("SYNC"), .server("\n"), .server("$12\r\nREDIS0009"), .server("xyz" + Self.stream))
    #expect(
      decoded.lines == [
        "SYNC [] → rdb cut[12, REDIS0009] (cut, replication)", "SELECT [3] (replication)", "SET [a, 1] (replication)",
      ])
    #expect(decoded.exchanges.first.map { ($0.end ?? 0) - $0.start } == 3000)
    #expect(decoded.exchanges.first.map { ($0.firstByte ?? 0) - $0.start } == 2000)
  }

  /// A server that does not become a master of this one goes on answering.
  @Test func refusals() throws {
    #expect(
      try Decoded(
        .command("PSYNC ? -1"), .server("-NOMASTERLINK Can't SYNC while not connected with my master\r\n"),
        .command("SYNC"), .server("\n-LOADING Redis is loading the dataset in memory\r\n"), .command("GET a"),
        .server("$1\r\n1\r\n")
      ).lines == [
        "PSYNC [?, -1] → error NOMASTERLINK Can't SYNC while not connected with my master",
        "SYNC [] → error LOADING Redis is loading the dataset in memory", "GET [a] → bulk_string 1",
      ])
    #expect(
      try Decoded(.command("PSYNC ? -1"), .server(Self.answer + "-BGSAVE failed\r\n")).lines.last
        == "→ error BGSAVE failed (replication)")
  }

  /// The answer was recorded before its PSYNC.
  @Test func answerBeforeItsRequest() throws {
    let decoded = try Decoded(
      .command("PING"), .server("+PONG\r\n" + Self.answer + "$9\r\nREDIS0009" + Self.stream), .command("PSYNC ? -1"))
    #expect(
      decoded.lines.suffix(4) == [
        "→ rdb cut[9, REDIS0009] (cut, replication)", "SELECT [3] (replication)", "SET [a, 1] (replication)",
        "PSYNC [?, -1] (no_reply, replication)",
      ])
  }

  @Test func losses() throws {
    let begin: [Event] = [.command("PSYNC ? -1"), .server(Self.answer + "$1000\r\nREDIS0009")]
    // Inside of the snapshot, to its very end, and beyond it.
    for (lost, rest) in [(500, 491), (991, 0)] {
      let events = begin + [.serverGap(lost), .server(String(repeating: "x", count: rest) + Self.stream)]
      #expect(
        try Decoded(Conversation(events)).lines.suffix(3) == [
          "→ rdb cut[1000, REDIS0009] (cut, gap, replication)", "SELECT [3] (replication)", "SET [a, 1] (replication)",
        ])
    }
    #expect(
      try Decoded(Conversation(begin + [.serverGap(2000), .server("$3\r\nabc\r\n" + Self.stream)])).lines.suffix(3)
        == [
          "→ rdb cut[1000, REDIS0009] (cut, gap, replication)", "SELECT [3] (replication)", "SET [a, 1] (replication)",
        ])
    // Inside of a value of the stream, and of anything else there.
    let decoded = try Decoded(
      Conversation(
        begin + [
          .server(String(repeating: "x", count: 991) + "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\n12"), .serverGap(3),
          .server("\r\n*2\r\n$3\r\nDE"), .serverGap(10), .server("1\r\n" + Self.stream),
        ]))
    #expect(
      decoded.lines.suffix(3) == [
        "SET [a, cut[5, 12]] (cut, gap, replication)", "SELECT [3] (replication)", "SET [a, 1] (replication)",
      ])
  }

  /// The connection ends inside of the snapshot, or of a command.
  @Test func endings() throws {
    let begin: [Event] = [.command("PSYNC ? -1"), .server(Self.answer + "$1000\r\nREDIS0009")]
    #expect(
      try Decoded(Conversation(begin)).lines.last == "→ rdb cut[1000, REDIS0009] (cut, incomplete, replication)")
    #expect(
      try Decoded(.command("PSYNC a 1"), .server("+CONTINUE\r\n*2\r\n$3\r\nDEL\r\n$4\r\nab")).lines.last
        == "DEL [cut[4, ab]] (cut, gap, incomplete, replication)")
  }

  /// What waited when the link showed itself goes out without a reply; the acknowledgement that showed it stays whole.
  @Test func joinedBehindACommand() throws {
    var conversation = Conversation([
      .server("+OK\r\n"), .command("REPLCONF capa psync2"), .command("REPLCONF ACK 14"), .server(Self.stream),
    ])
    conversation.isPreexisting = true
    #expect(
      try Decoded(conversation).lines == [
        "→ simple_string OK (unvouched, unrequested)", "REPLCONF [capa, psync2] (unvouched, unanswered)",
        "REPLCONF [ACK, 14] (no_reply, replication)", "SELECT [3] (replication)", "SET [a, 1] (replication)",
      ])
  }

  /// Only a replica acknowledges, and nothing answers it: that tells a link which was there before the capture.
  @Test func joinedInItsMiddle() throws {
    var conversation = Conversation([
      .command("REPLCONF ACK 14"), .server("1\r\n" + Self.stream), .command("REPLCONF ACK 80"),
    ])
    conversation.isPreexisting = true
    #expect(
      try Decoded(conversation).lines == [
        "REPLCONF [ACK, 14] (no_reply, replication)", "SELECT [3] (replication)", "SET [a, 1] (replication)",
        "REPLCONF [ACK, 80] (no_reply, replication)",
      ])
  }

  /// What waits for a reply by then goes out before it, and neither takes the other's place.
  @Test func joinedWithRequestsBeforeTheAcknowledgement() throws {
    var conversation = Conversation([.command("PSYNC ? -1"), .command("GET a"), .command("REPLCONF ACK 14")])
    conversation.isPreexisting = true
    #expect(
      try Decoded(conversation).lines == [
        "PSYNC [?, -1] (unvouched, unanswered)", "GET [a] (unvouched, unanswered)",
        "REPLCONF [ACK, 14] (no_reply, replication)",
      ])
  }

  /// A client that is no replica says it in vain, and its other commands are answered.
  @Test func acknowledgementOfNoReplica() throws {
    #expect(
      try Decoded(.command("REPLCONF ACK 1"), .command("GET a"), .server("$1\r\n1\r\n")).lines == [
        "REPLCONF [ACK, 1] (no_reply)", "GET [a] → bulk_string 1",
      ])
  }
}
