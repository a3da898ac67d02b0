// Two views of one exchange become one, and never those of two.
import Merge
import Support
import TapWire
import Testing

/// A connection between flow 1, the client's, and flow 2, the server's, in milliseconds.
private struct Conversation {
  var stream = Stream()

  init(preexisting: Bool = false) {
    for (flow, peer, role) in [(1, 2, "client"), (2, 1, "server")] {
      stream.append([
        2, Item(integerLiteral: Int64(flow)), Item(integerLiteral: Int64(flow + 10)),
        [
          "transport": "tcp", "local": "", "remote": "", "role": .text(role), "preexisting": .bool(preexisting),
          "peer_flow": Item(integerLiteral: Int64(peer)),
        ],
      ])
    }
  }

  mutating func exchange(_ flow: Int64, _ command: String, _ start: Double, _ end: Double?, flags: Item = []) {
    func time(_ milliseconds: Double) -> Item { Item(integerLiteral: Int64((milliseconds + 1000) * 1_000_000)) }
    stream.exchange(
      flow: flow, start: time(start), end: end.map(time) ?? nil, request: ["command": .text(command)],
      response: end == nil ? nil : ["response_value": "OK"], flags: flags)
  }

  mutating func client(_ command: String, _ start: Double, _ end: Double?, flags: Item = []) {
    exchange(1, command, start, end, flags: flags)
  }

  mutating func server(_ command: String, _ start: Double, _ end: Double?, flags: Item = []) {
    exchange(2, command, start, end, flags: flags)
  }

  mutating func gap(_ flow: Int64, at milliseconds: Double) {
    stream.append([
      4, Item(integerLiteral: flow), 1, Item(integerLiteral: Int64((milliseconds + 1000) * 1_000_000)), 0, 5,
      "ring_full",
    ])
  }

  mutating func hidden(_ flow: Int64, _ count: Int64 = 1) {
    stream.append([11, Item(integerLiteral: flow), Item(integerLiteral: count)])
  }

  mutating func close(_ flow: Int64, at milliseconds: Double) {
    stream.append([
      5, Item(integerLiteral: flow), Item(integerLiteral: Int64((milliseconds + 1000) * 1_000_000)), "closed",
    ])
  }

  /// What comes out: `c:GET 0-3/1-2` is merged, with both spans of milliseconds; `c:` and `s:` tell whose line it is.
  var merged: [String] { get throws { try Self.read(stream.ended) } }

  static func read(_ input: [UInt8]) throws -> [String] {
    var stage = MergeStage()
    let run = StageRun(&stage, program: MergeStage.program, input: input)
    #expect(run.status == .success)
    return try run.output.withUnsafeBytes { try describe($0) }
  }

  private static func span(_ start: UInt64, _ end: UInt64?) -> String {
    func text(_ time: UInt64) -> String { "\(Int64(time / 1_000_000) - 1000)" }
    return text(start) + "-" + (end.map(text) ?? "")
  }

  private static func describe(_ bytes: UnsafeRawBufferPointer) throws -> [String] {
    var lines: [String] = []
    var position = 0
    while position < bytes.count {
      var reader = CBORReader(UnsafeRawBufferPointer(rebasing: bytes[position...]), streamOffset: 0)
      let item = try reader.readItem()
      position += item.count
      let frame = try Frame(encoded: item, streamOffset: 0)
      switch frame.kind {
      case .gap: lines.append("gap \(try GapFrame(frame).flow)")
      case .close: lines.append("close \(try CloseFrame(frame).flow)")
      case .exchange:
        let exchange = try ExchangeFrame(frame)
        var request = CBORReader(try #require(exchange.request), streamOffset: 0)
        _ = try request.readMapHead()
        _ = try request.readText()
        var line = "\(exchange.flow == 1 ? "c" : "s"):\(try request.readText()) \(span(exchange.start, exchange.end))"
        if let server = exchange.server {
          let view = try ServerView(server)
          #expect(exchange.flow == 1 && view.flow == 2)
          line += "/" + span(view.start, view.end)
        }
        var flags = CBORReader(exchange.flags, streamOffset: 0)
        for _ in 0..<(try flags.readArrayHead()) { line += " \(try flags.readText())" }
        lines.append(line)
      default: break
      }
    }
    return lines
  }
}

@Suite struct MergeTests {
  @Test func bothViewsBecomeOne() throws {
    var talk = Conversation()
    talk.server("SET", 1, 2)
    talk.client("SET", 0, 3)
    talk.client("GET", 4, 7)
    talk.server("GET", 5, 6)
    #expect(try talk.merged == ["c:SET 0-3/1-2", "c:GET 4-7/5-6"])
  }

  @Test func aPipelineIsMatchedByItsOrder() throws {
    var talk = Conversation()
    for _ in 0..<3 { talk.server("INCR", 1, 2) }
    talk.client("INCR", 0, 3)
    talk.client("INCR", 0, 4)
    talk.client("INCR", 0, 5)
    #expect(try talk.merged == ["c:INCR 0-3/1-2", "c:INCR 0-4/1-2", "c:INCR 0-5/1-2"])
  }

  @Test func requestsWithoutAReplyAreMatchedToo() throws {
    var talk = Conversation()
    talk.server("QUIT", 1, nil)
    talk.client("QUIT", 0, nil)
    #expect(try talk.merged == ["c:QUIT 0-/1-"])
  }

  @Test func theFlagsOfEitherViewStay() throws {
    var talk = Conversation()
    talk.client("GET", 0, 9, flags: ["blocking", "cut"])
    talk.server("GET", 5, 5, flags: ["clamped", "blocking"])
    #expect(try talk.merged == ["c:GET 0-9/5-5 blocking cut clamped"])
  }

  @Test func aFlowWithoutAnotherEndPassesAtOnce() throws {
    var stream = Stream()
    stream.flow(1)
    stream.exchange(request: ["command": "GET"], response: nil)
    #expect(try Conversation.read(stream.ended) == ["c:GET -999--999"])
  }

  /// What follows in a flow does not overtake what waits.
  @Test func orderWithinAFlowStays() throws {
    var talk = Conversation()
    talk.client("GET", 0, 3)
    talk.close(1, at: 4)
    talk.server("GET", 1, 2)
    talk.close(2, at: 5)
    #expect(try talk.merged == ["c:GET 0-3/1-2", "close 1", "close 2"])
  }

  @Test func whatComesAfterTheOtherSideIsOverDoesNotWait() throws {
    var talk = Conversation()
    talk.close(1, at: 0)
    talk.server("GET", 1, 2)
    talk.gap(2, at: 3)
    #expect(try talk.merged == ["close 1", "s:GET 1-2", "gap 2"])
  }

  // MARK: Losses

  /// The client's second of five equal exchanges is lost: none of the later ones may be taken for its neighbour.
  @Test func aLossDoesNotShiftEqualExchanges() throws {
    var talk = Conversation()
    for number in 0..<5 {
      let start = Double(number * 10)
      talk.server("PING", start + 1, start + 2)
      if number == 1 { continue }
      if number == 2 { talk.gap(1, at: start + 3) }
      talk.client("PING", start, start + 3)
    }
    // The third is behind the loss. The fourth was alone, as the fifth shows; that makes it certain.
    let merged = try talk.merged
    #expect(merged.contains("c:PING 0-3/1-2") && merged.contains("s:PING 11-12") && merged.contains("c:PING 20-23"))
    #expect(merged.suffix(2) == ["c:PING 30-33/31-32", "c:PING 40-43/41-42"])
  }

  /// Within a pipeline of equal commands nothing tells which is which after a loss.
  @Test func aPipelineBehindALossStaysTwoLinesEach() throws {
    var talk = Conversation()
    for number in 1...4 { talk.server("PING", 1, Double(number) + 1) }
    talk.gap(1, at: 3)
    for number in 2...4 { talk.client("PING", 0, Double(number) + 3) }
    #expect(try talk.merged.allSatisfy { !$0.contains("/") })
    #expect(try talk.merged.count == 8)
  }

  @Test func silenceMakesItCertainAgain() throws {
    var talk = Conversation()
    talk.client("GET", 0, 3)
    talk.gap(2, at: 3)
    talk.server("SET", 150, 151)
    talk.client("SET", 149, 152)
    #expect(try talk.merged == ["gap 2", "c:GET 0-3", "c:SET 149-152/150-151"])
  }

  /// The silence must be that of both sides: here the server was busy with something that the client's side lost.
  @Test func silenceOfOneSideIsNotEnough() throws {
    var talk = Conversation()
    talk.gap(1, at: 0)
    talk.server("GET", 140, 141)
    talk.server("GET", 150, 151)
    talk.gap(1, at: 149)
    talk.client("GET", 149, 152)
    #expect(try talk.merged.allSatisfy { !$0.contains("/") })
  }

  @Test func anotherContentIsNeverMerged() throws {
    var talk = Conversation()
    talk.server("SET", 1, 2)
    talk.client("GET", 0, 3)
    #expect(try talk.merged.sorted() == ["c:GET 0-3", "s:SET 1-2"])
  }

  /// The server was fast with the first: `tap-resp --slower-than` hides that view, and the client's is not the second's.
  @Test func viewsThatAFilterHides() throws {
    var talk = Conversation()
    talk.client("GET", 0, 80)
    talk.hidden(2)
    talk.server("GET", 3, 63)
    talk.client("GET", 1, 81)
    #expect(try talk.merged == ["c:GET 0-80", "c:GET 1-81/3-63"])
  }

  /// What is hidden on both sides, or on one, is counted: the order goes on, also when a view has waited in vain.
  @Test func hiddenViewsKeepTheOrder() throws {
    var talk = Conversation()
    talk.hidden(1, 4)
    talk.client("GET", 0, 60)
    talk.client("SET", 300, 360)
    talk.hidden(2, 5)
    talk.server("SET", 301, 359)
    talk.hidden(2, 2)
    talk.server("GET", 401, 402)
    talk.hidden(1, 2)
    talk.client("GET", 400, 403)
    talk.server("SET", 501, 502)
    talk.hidden(1, 1)
    talk.client("SET", 600, 603)
    #expect(
      try talk.merged == [
        "c:GET 0-60", "c:SET 300-360/301-359", "c:GET 400-403/401-402", "s:SET 501-502", "c:SET 600-603",
      ])
  }

  /// Out of step nothing is the first behind a silence that a filter may have made, nor alone.
  @Test func hiddenViewsProveNothing() throws {
    var talk = Conversation(preexisting: true)
    talk.client("GET", 0, 3)
    talk.server("GET", 1, 2)
    talk.hidden(2)
    talk.server("GET", 150, 151)
    talk.client("GET", 149, 152)
    talk.hidden(1)
    talk.client("GET", 160, 163)
    #expect(try talk.merged.allSatisfy { !$0.contains("/") })
  }

  /// As with a decoder that does not say what it leaves out.
  @Test func viewsThatAreMissingOnOneSide() throws {
    var talk = Conversation()
    talk.client("GET", 0, 10)
    talk.server("GET", 12, 22)
    talk.client("GET", 11, 23)
    talk.client("GET", 24, 25)
    #expect(try talk.merged == ["c:GET 0-10", "c:GET 11-23/12-22", "c:GET 24-25"])
  }

  @Test func unvouchedPairsAreNeverMerged() throws {
    var talk = Conversation()
    talk.server("GET", 1, 2)
    talk.client("GET", 0, 3, flags: ["unvouched"])
    #expect(try talk.merged.sorted() == ["c:GET 0-3 unvouched", "s:GET 1-2"])
  }

  /// In a connection that was open before, the first exchanges of both sides need not be the same.
  @Test func aConnectionJoinedInTheMiddle() throws {
    var talk = Conversation(preexisting: true)
    talk.server("GET", 1, 2)
    for number in 1...3 {
      let start = Double(number * 10)
      talk.server("GET", start + 1, start + 2)
      talk.client("GET", start, start + 3)
    }
    let merged = try talk.merged
    #expect(merged.contains("s:GET 1-2") && merged.contains("c:GET 10-13"))
    #expect(merged.suffix(2) == ["c:GET 20-23/21-22", "c:GET 30-33/31-32"])
  }

  // MARK: Waiting

  @Test func theOtherViewIsWaitedForABoundedTime() throws {
    var talk = Conversation()
    talk.client("GET", 0, 3)
    talk.close(1, at: 4)
    // Another flow's time goes on.
    talk.stream.flow(7)
    talk.exchange(7, "SET", 300, 301)
    talk.server("GET", 1, 2)
    #expect(try talk.merged == ["c:GET 0-3", "close 1", "s:SET 300-301", "s:GET 1-2"])
  }

  /// A client that reads its response late: the difference is what the two views are for.
  @Test func aClientThatIsLate() throws {
    var talk = Conversation()
    talk.server("GET", 1, 2)
    talk.stream.flow(7)
    talk.exchange(7, "SET", 9000, 9001)
    talk.client("GET", 0, 9002)
    talk.server("GET", 9004, 9005)
    talk.exchange(7, "SET", 19006, 19007)
    talk.client("GET", 9003, 19008)
    #expect(
      try talk.merged == [
        "s:SET 9000-9001", "c:GET 0-9002/1-2", "s:GET 9004-9005", "s:SET 19006-19007", "c:GET 9003-19008",
      ])
  }

  /// Where nobody knows which of the client's the next one is, it is not worth the wait.
  @Test func outOfStepNobodyWaitsForLong() throws {
    var talk = Conversation()
    talk.gap(1, at: 0)
    talk.server("GET", 1, 2)
    talk.stream.flow(7)
    talk.exchange(7, "SET", 300, 301)
    talk.client("GET", 0, 302)
    #expect(try talk.merged == ["gap 1", "s:GET 1-2", "s:SET 300-301", "c:GET 0-302"])
  }

  @Test func memoryIsBounded() throws {
    var talk = Conversation()
    let command = String(repeating: "x", count: 1 << 20)
    for number in 0..<40 { talk.client(command, Double(number), Double(number)) }
    talk.server("GET", 50, 51)
    let lines = try talk.merged
    #expect(lines.count == 41)
  }

  /// Seeded: whatever is lost on either side, an exchange is merged with itself only, and without losses every one is.
  @Test(arguments: 0..<200) func randomLosses(_ seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var talk = Conversation(preexisting: seed % 3 == 0)
    var time = 0.0
    var lossIsPending = [1: false, 2: false]
    let losesAnything = seed % 4 != 1
    var count = 0
    for _ in 0..<40 {
      time += Double.random(in: 0...1, using: &random) < 0.1 ? 150 : Double(Int.random(in: 1...4, using: &random))
      let depth = Int.random(in: 1...3, using: &random)
      // Its own start tells an exchange from the others: 100 of the server's milliseconds are the client's.
      for step in 0..<depth {
        let start = time
        let end = time + 3 + Double(step)
        let command = Bool.random(using: &random) ? "PING" : "INCR"
        count += 1
        for (flow, inset) in [(2, 1.0), (1, 0.0)] {
          if losesAnything, Int.random(in: 0..<8, using: &random) == 0 {
            lossIsPending[flow] = true
            continue
          }
          if lossIsPending[flow] == true {
            talk.gap(Int64(flow), at: end - inset)
            lossIsPending[flow] = false
          }
          talk.exchange(Int64(flow), command, start + inset, end - inset)
        }
      }
      time += 3 + Double(depth)
    }
    let merged = try talk.merged.filter { $0.contains("/") }
    for line in merged {
      // `c:PING 10-15/11-14`
      let numbers = line.split(whereSeparator: { !"0123456789".contains($0) }).compactMap { Int($0) }
      #expect(
        numbers.count == 4 && numbers[2] == numbers[0] + 1 && numbers[3] == numbers[1] - 1, "seed \(seed): \(line)")
    }
    if !losesAnything, seed % 3 != 0 { #expect(merged.count == count, "seed \(seed)") }
  }
}
