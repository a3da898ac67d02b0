// Hostile and huge input: bounded memory, linear time, no crash, and everything that was left out is said.
import Support
import TapWire
import Testing

@testable import RESP

@Suite struct LimitTests {
  private static let mebibyte = 1 << 20

  private static func inFrames(_ events: [Event], of bytes: Int = 65_536) -> Conversation {
    var conversation = Conversation(events)
    conversation.split = { count in
      Array(repeating: bytes, count: count / bytes) + (count % bytes > 0 ? [count % bytes] : [])
    }
    return conversation
  }

  private static func text(_ letter: Character, _ count: Int) -> String { String(repeating: letter, count: count) }

  /// Small values stay whole, the largest are cut with their full length, and the next command is right.
  @Test(arguments: [65_536, 16 << 20]) func largestValuesAreCut(frameBytes: Int) throws {
    let big = Self.text("b", 4 * Self.mebibyte)
    let request = encode("MSET", "k1", big, "k2", big, "k3", "small", "k4", big, "k5", "last")
    let decoded = try Decoded(
      Self.inFrames(
        [.client(request), .server("+OK\r\n"), .command("GET k3"), .server("$5\r\nsmall\r\n")], of: frameBytes))
    #expect(decoded.exchanges.count == 2)
    let first = try #require(decoded.exchanges.first)
    #expect(first.flags == ["cut"])
    let shown = try #require(first.request)
    #expect(shown.components("cut[\(4 * Self.mebibyte), ").count == 4)
    #expect(shown.hasSuffix("k5, last]") && shown.contains("k3, small, k4"))
    #expect(shown.utf8.count > 3 * Self.mebibyte && shown.utf8.count <= 8 * Self.mebibyte)
    #expect(decoded.lines.last == "GET [k3] → bulk_string small")
  }

  @Test func requestAndReplyTogether() throws {
    let value = Self.text("v", 7 * Self.mebibyte)
    let decoded = try Decoded(
      Self.inFrames([
        .client(encode("GETSET", "k", value)), .server(bulk(value)), .command("PING"), .server("+PONG\r\n"),
      ]))
    let first = try #require(decoded.exchanges.first)
    #expect(first.flags == ["cut"])
    #expect(decoded.output.count < 8 * Self.mebibyte + 2000)
    #expect(first.request?.contains("cut[\(7 * Self.mebibyte), v") == true)
    #expect(first.response?.contains("cut[\(7 * Self.mebibyte), v") == true)
    #expect(decoded.lines.last == "PING [] → simple_string PONG")
  }

  /// Maps, attributes and streamed aggregates of which only a part is kept are well formed.
  @Test func aggregatesThatAreCut() throws {
    let pad = bulk(Self.text("p", 300_000))
    let many = Array(repeating: pad, count: 40).joined()
    let tiny = Array("*1200000\r\n".utf8) + Array(repeating: Array(":1000000\r\n".utf8), count: 1_200_000).joined()
    let replies: [[UInt8]] = [
      Array("*42\r\n".utf8) + many + Array("*?\r\n:1\r\n.\r\n%1\r\n+k\r\n*?\r\n:2\r\n.\r\n".utf8),
      Array("*?\r\n".utf8) + many + Array("%?\r\n+k\r\n~?\r\n:1\r\n.\r\n.\r\n.\r\n".utf8),
      Array("*2\r\n%3\r\n".utf8) + tiny + Array("+v\r\n+k\r\n".utf8) + tiny + Array("+k2\r\n|1\r\n+a\r\n".utf8) + tiny
        + Array("$1\r\nz\r\n:9\r\n".utf8),
      Array("*3\r\n|1\r\n+a\r\n".utf8) + tiny + tiny + Array("$1\r\nz\r\n:9\r\n".utf8),
    ]
    for (index, reply) in replies.enumerated() {
      let decoded = try Decoded(
        Self.inFrames([.command("EXEC"), .server(reply), .command("PING"), .server("+PONG\r\n")]))
      #expect(decoded.exchanges.count == 2, "reply \(index)")
      #expect(decoded.exchanges.first?.flags == ["cut"], "reply \(index)")
      #expect(decoded.lines.last == "PING [] → simple_string PONG", "reply \(index)")
    }
  }

  /// More connections than may be: those silent for longest are forgotten, and it is said; what waited goes out.
  @Test func moreFlowsThanMayBe() throws {
    var stream = Stream()
    let count = RESPLimits.flows + 10
    for flow in 1...count {
      var conversation = Conversation([flow == 1 ? .command("BLPOP q 0") : .command("GET a"), .server("$-1\r\n")])
      if flow == 1 { conversation.events.removeLast() }
      conversation.startNanoseconds += UInt64(flow) * 1_000_000
      conversation.isClosed = false
      stream.bytes += conversation.encoded(flow: UInt64(flow))
    }
    // The first speaks again, long after it was forgotten: its reply belongs to nothing that is known.
    stream.append([3, 1, 1, 9_000_000_000_000, 0, .bytes(Array("*2\r\n$1\r\nq\r\n$1\r\nv\r\n".utf8))])
    stream.append([3, 1, 0, 9_000_000_001_000, 31, .bytes(encode("GET", "b"))])
    let decoded = try Decoded(stream.ended)
    let first = decoded.exchanges.filter { $0.flow == 1 }.map(\.description)
    #expect(
      first == [
        "BLPOP [q, 0] (unanswered, blocking)", "→ array [q, v] (unvouched, unrequested)",
        "GET [b] (unvouched, unanswered)",
      ])
    #expect(decoded.exchanges.count == count + 2)
    #expect(
      decoded.notices.contains { $0.text.hasPrefix("\(RESPLimits.flows / 8) times a Redis connection was forgotten") })
  }

  /// What many flows hold together is cut from the largest, also where a value has just ended.
  @Test(arguments: [65_536, 20_000]) func manyFlowsHoldTooMuch(frameBytes: Int) throws {
    var stream = Stream()
    var encodings: [[UInt8]] = []
    for flow in 1...12 {
      let words = (0..<5).map { Self.text(Character("\($0)"), 700_000) }
      let request = encode(["MSET", "k", words[0], "l", words[1]].map { Array($0.utf8) })
      let tail = encode(["MGET", words[2], "between", words[3]].map { Array($0.utf8) })
      var conversation = Self.inFrames(
        [.client(request + tail.dropLast(9)), .client(Array(tail.suffix(9))), .server("+OK\r\n*0\r\n")], of: frameBytes)
      conversation.isClosed = false
      encodings.append(conversation.encoded(flow: UInt64(flow)))
    }
    // The requests of all flows first, then the replies: they are the last frame of each flow.
    let cuts = try encodings.map { try lastFrameStart($0) }
    for (encoding, cut) in zip(encodings, cuts) { stream.bytes += encoding[..<cut] }
    for (encoding, cut) in zip(encodings, cuts) { stream.bytes += encoding[cut...] }
    let decoded = try Decoded(stream.ended)
    #expect(decoded.exchanges.count == 24)
    #expect(decoded.exchanges.contains { $0.flags == ["cut"] })
    for exchange in decoded.exchanges {
      #expect(exchange.response == "simple_string OK" || exchange.response == "array []")
    }
  }

  private func lastFrameStart(_ frames: [UInt8]) throws -> Int {
    let file = ScratchFile(frames)
    var reader = FrameReader(descriptor: file.descriptor)
    var start = 0
    var end = 0
    while let frame = try reader.next() {
      start = end
      end += frame.encoded.count
    }
    return start
  }

  @Test func announcedAndTrickled() throws {
    let decoded = try Decoded(
      Self.inFrames([.command("KEYS *"), .server("*1000000000\r\n$1\r\na\r\n:1\r\n")], of: 1))
    #expect(decoded.lines == ["KEYS [*] → array cut[1000000000, [a, 1]] (incomplete)"])
  }

  /// Each is refused at once, and what follows on the connection is found.
  @Test(arguments: [
    "*1\r\n$9223372036854775807\r\nx", "*9223372036854775807\r\n$1\r\nx\r\n", "*2147483648\r\n$1\r\nx\r\n",
    String(repeating: "x", count: 200_000) + "\r\n", "*1\r\n$-5\r\n", "*1\r\n:1\r\n", "*x\r\n",
  ]) func hostileRequests(_ text: String) throws {
    let decoded = try Decoded(
      Self.inFrames(
        [
          .command("PING"), .server("+PONG\r\n"), .client(text), .client("\r\n"), .command("GET a"), .command("GET b"),
          .server("$1\r\na\r\n$1\r\nb\r\n"), .silence(milliseconds: 100),
        ] + Event.quietRounds + [.command("GET c"), .server("$1\r\nc\r\n")]))
    #expect(decoded.lines.last == "GET [c] → bulk_string c")
  }

  @Test(arguments: [
    "$9223372036854775807\r\n", "*9223372036854775807\r\n", "%4611686018427387904\r\n", "%922337203685477580\r\n",
    String(repeating: "*1\r\n", count: 10_000), String(repeating: "|1\r\n", count: 10_000),
    String(repeating: "*?\r\n", count: 10_000), String(repeating: ">1\r\n", count: 10_000), "$-7\r\n", ":x\r\n",
    "#q\r\n",
    "@\r\n", ",1e\r\n",
  ]) func hostileReplies(_ text: String) throws {
    let decoded = try Decoded(
      Self.inFrames(
        [
          .command("PING"), .server(text), .server("\r\n"), .command("GET a"), .command("GET b"),
          .server("$1\r\na\r\n$1\r\nb\r\n"), .silence(milliseconds: 100),
        ] + Event.quietRounds + [.command("GET c"), .server("$1\r\nc\r\n")]))
    #expect(decoded.lines.last == "GET [c] → bulk_string c")
    #expect(decoded.exchanges.dropFirst().dropLast(4).allSatisfy { $0.flags.contains("unvouched") })
  }

  @Test func endlessLineOfAReply() throws {
    let text = Self.text("e", 3 * Self.mebibyte)
    let decoded = try Decoded(
      Self.inFrames([.command("PING"), .server("+" + text + "\r\n"), .command("PING"), .server("+PONG\r\n")]))
    #expect(decoded.lines.last == "PING [] → simple_string PONG")
    #expect(decoded.exchanges.first?.response?.hasPrefix("simple_string cut[\(text.utf8.count), eee") == true)
  }

  /// False boundaries in one frame, each followed by what breaks it: no recursion, and time grows with the bytes.
  @Test func manyFalseBoundaries() throws {
    let unit = Array(String(repeating: ":1\r\n", count: 16).utf8) + [0, 0x0a]
    func seconds(_ units: Int) throws -> Double {
      let bytes = Array(Array(repeating: unit, count: units).joined())
      let clock = ContinuousClock()
      let begin = clock.now
      let decoded = try Decoded(Self.inFrames([.command("PING"), .server(bytes)], of: 16 << 20))
      #expect(decoded.exchanges.count >= units)
      return (clock.now - begin) / .seconds(1)
    }
    _ = try seconds(1000)
    let (small, large) = (try seconds(2000), try seconds(16_000))
    #expect(large < 3 * 8 * small + 0.5)
  }

  /// Random bytes, and random mutations of Redis, on a flow that was claimed: other flows are untouched.
  @Test func randomBytes() throws {
    for seed in 0..<UInt64(150) {
      var generator = SeededGenerator(seed: seed)
      let alphabet = seed % 2 == 0 ? Array("*$+-:_,#(!=%~>|;.?\r\n0123456789\r\n\r\nabc".utf8) : Array(0...255)
      func noise() -> [UInt8] {
        (0..<Int.random(in: 1...3000, using: &generator)).map { _ in alphabet.randomElement(using: &generator) ?? 0 }
      }
      var events: [Event] = [.command("PING"), .server("+PONG\r\n")]
      for _ in 0..<6 {
        events.append(Bool.random(using: &generator) ? .client(noise()) : .server(noise()))
        if Bool.random(using: &generator) { events += [.command("GET a"), .server("*2\r\n$1\r\na\r\n%1\r\n+k\r\n")] }
        if Bool.random(using: &generator) {
          let length = Int.random(in: 1...50, using: &generator)
          events.append(Bool.random(using: &generator) ? .clientGap(length) : .serverGap(length))
        }
      }
      var pieces = generator
      var conversation = Conversation(events)
      conversation.split = { randomPieces($0, upTo: 200, &pieces) }
      let sane = Conversation([.command("GET a"), .server("$1\r\n1\r\n")])
      var stream = Stream()
      stream.bytes += conversation.encoded(flow: 1) + sane.encoded(flow: 2)
      // Every exchange is well-formed CBOR, or reading it back throws.
      let decoded = try Decoded(stream.ended)
      #expect(decoded.exchanges.filter { $0.flow == 2 }.map(\.description) == ["GET [a] → bulk_string 1"])
      #expect(decoded.exchanges.first?.description == "PING [] → simple_string PONG")
    }
  }
}

extension String {
  fileprivate func components(_ separator: String) -> [Substring] {
    split(separator: separator, omittingEmptySubsequences: false)
  }
}
