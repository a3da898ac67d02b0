// Losses anywhere: no pair that is vouched for may be wrong, and behind the next quiet point everything is found again.
import Support
import TapWire
import Testing

@testable import RESP

@Suite struct GapTests {
  private struct Shares: CustomStringConvertible {
    var cases = 0
    var commands = 0
    var vouched = 0
    var unvouched = 0
    var lost = 0
    /// Cases in which certainty did not come back: RESP inside of a value was taken for commands, which stay pending.
    var doubted = 0
    var description: String {
      func share(_ part: Int) -> String { "\(part * 1000 / max(1, commands))‰" }
      return "\(cases) cases, \(commands) commands: vouched \(share(vouched)), unvouched \(share(unvouched)), "
        + "lost \(share(lost)); \(doubted) cases doubted to the end"
    }
  }

  /// The id in `GET [k17]`; nil where the request has none.
  private static func id(_ request: String) -> Int? {
    for word in request.split(whereSeparator: { "[], ".contains($0) }) where word.first == "k" {
      let digits = word.dropFirst().prefix { $0.isNumber }
      // The beginning of one says nothing.
      if request[..<word.startIndex].suffix(8).contains("cut[") { return nil }
      if let id = Int(digits), word.dropFirst(digits.count + 1).allSatisfy({ $0 == "i" }) { return id }
    }
    return nil
  }

  /// What the commands are answered that have no id, or of whose id bytes are missing.
  private static let answers: [(request: String, response: String)] = [
    ("SET", "simple_string OK"), ("INCR", "integer "), ("LRANGE", "array "), ("MGET", "array "),
    ("LPUSH", "error WRONGTYPE"), ("HGETALL", "array "), ("HGETALL", "map "), ("GET", "bulk_string "),
    ("BLPOP", "array "), ("EVAL", "bulk_string "), ("ECHO", "bulk_string "), ("PING", "array [pong, "),
    ("SUBSCRIBE", "array "), ("SUBSCRIBE", "push [subscribe"), ("PSUBSCRIBE", "array "),
    ("PSUBSCRIBE", "push [psubscribe"), ("SSUBSCRIBE", "array "), ("SSUBSCRIBE", "push [ssubscribe"),
    ("MULTI", "simple_string OK"), ("DISCARD", "simple_string OK"), ("CLIENT", "simple_string OK"),
    ("MONITOR", "simple_string OK"), ("RESET", "simple_string RESET"), ("HELLO", "map {proto: 3}"),
    ("HELLO", "array [proto, 2]"), ("EXEC", "array "), ("EXEC", "null"), ("UNSUBSCRIBE", "array "),
    ("UNSUBSCRIBE", "push [unsubscribe"), ("PUNSUBSCRIBE", "array "), ("PUNSUBSCRIBE", "push [punsubscribe"),
    ("SUNSUBSCRIBE", "array "), ("SUNSUBSCRIBE", "push [sunsubscribe"),
  ]

  #if DEBUG
    private static let cases = 300
  #else
    private static let cases = 10_000
  #endif

  @Test func noVouchedPairIsWrong() throws {
    var shares = Shares()
    for seed in 0..<UInt64(Self.cases) { try Self.run(seed, &shares) }
    print("gap test: \(shares)")
    #expect(shares.vouched * 5 > shares.commands * 2)
    #expect(shares.doubted * 10 < shares.cases)
  }

  private static func run(_ seed: UInt64, _ shares: inout Shares) throws {
    var generator = SeededGenerator(seed: seed)
    func chance(_ count: Int) -> Bool { Int.random(in: 0..<count, using: &generator) == 0 }
    let isJoined = chance(8)
    let isRecordedLate = chance(3)
    let style = MixedWorkload.Style(
      // How far a server is that was near before certainty was lost nobody can know.
      roundTripMilliseconds: isRecordedLate
        ? 0 : (isJoined ? [1, 20, 60] : [1, 20, 60, 150, 300]).randomElement(using: &generator) ?? 1,
      isRecordedLate: isRecordedLate, refusesReplyMode: chance(8))
    var workload = MixedWorkload(style, seed: seed)
    // Behind that the round trip is known.
    workload.sayPlainly(4)
    let first = workload.position
    workload.talk(50)
    let lossy = 0..<workload.truths.count
    let last = workload.position
    // Between silences behind the last loss commands and replies balance: what follows must be found and vouched for.
    workload.calmDown()
    for _ in 0..<4 * QuietPoints.enough { workload.rest(3) }
    let late = workload.truths.count
    workload.rest(4)
    let truths = workload.truths
    let gaps = Int.random(in: 1...3, using: &generator)
    var conversation = Conversation(losing(gaps, of: workload.events(), from: first, to: last, &generator))
    conversation.isPreexisting = isJoined
    conversation.role = Bool.random(using: &generator) ? .client : .server
    let decoded = try Decoded(conversation)
    var found: Set<Int> = []
    var vouched: Set<Int> = []
    for exchange in decoded.exchanges {
      guard let request = exchange.request else { continue }
      let isVouched = !exchange.flags.contains("unvouched")
      guard let id = id(request), let truth = truths[id], request.hasPrefix(truth.command) else {
        if isVouched, let flaw = flaw(of: exchange, request) { Issue.record("seed \(seed): \(flaw): \(exchange)") }
        continue
      }
      found.insert(id)
      guard isVouched else { continue }
      vouched.insert(id)
      // What a client has silenced is shown at once, before anybody can know that the server did not agree.
      if style.refusesReplyMode, exchange.flags.contains("no_reply") { continue }
      if !isRight(exchange, truth) { Issue.record("seed \(seed): \(truth) became \(exchange)") }
    }
    shares.cases += 1
    shares.commands += lossy.count
    shares.vouched += vouched.count { lossy.contains($0) }
    shares.unvouched += found.subtracting(vouched).count { lossy.contains($0) }
    shares.lost += lossy.count { !found.contains($0) }
    if let missing = (late..<truths.count).first(where: { !found.contains($0) }) {
      Issue.record("seed \(seed): behind the quiet point and not found: \(missing)")
    }
    if (late..<truths.count).contains(where: { !vouched.contains($0) }) { shares.doubted += 1 }
  }

  /// Whether an exchange says what is true; a value of which bytes were lost is known by its beginning and its length.
  private static func isRight(_ exchange: Exchange, _ truth: MixedWorkload.Truth) -> Bool {
    guard let mark = truth.mark else { return exchange.response == nil }
    guard let response = exchange.response else {
      // EXEC's reply has lost it.
      return exchange.flags.contains("gap") && exchange.flags.contains("queued")
    }
    // An aggregate that ends before the mark, or a part of an answer that has it.
    let isCutShort =
      ["array cut[", "map cut[", "map {cut["].contains { response.hasPrefix($0) } && !response.contains("<")
    if exchange.flags.contains("gap"), isCutShort { return true }
    if response.contains(mark) || truth.isQueued && response == "simple_string QUEUED" { return true }
    guard exchange.flags.contains("gap"), let length = truth.valueLength,
      let cut = response.range(of: "cut[\(length), ")
    else { return exchange.flags.contains("gap") && response.contains("cut[") && truth.valueLength == nil }
    let kept = response[cut.upperBound...].prefix { $0 != "]" }
    return mark.hasPrefix(kept.prefix(mark.count))
  }

  /// What is wrong with an exchange whose command has no id and is vouched for.
  private static func flaw(of exchange: Exchange, _ request: String) -> String? {
    let name = request.prefix { $0 != " " }
    guard answers.contains(where: { $0.request == name }) else { return "never sent" }
    guard let response = exchange.response else { return nil }
    if name == "CLIENT", response == "error NOPERM no" { return nil }
    if exchange.flags.contains("queued"), response == "simple_string QUEUED" { return nil }
    // Where bytes of it are missing too, its type is what is left.
    let isWhole = !exchange.flags.contains("gap")
    let isRight = answers.contains {
      $0.request == name && response.hasPrefix(isWhole ? $0.response : "\($0.response.prefix { $0 != " " }) ")
    }
    return isRight ? nil : "not its reply"
  }

  /// The events with `count` gaps, each at a random place of the middle, within or across frames.
  private static func losing(
    _ count: Int, of events: [Event], from first: [Int], to last: [Int], _ generator: inout SeededGenerator
  ) -> [Event] {
    var isLost: [[Bool]] = [false, true].map { isReply in
      Array(repeating: false, count: events.reduce(0) { $0 + ($1.bytes(isReply: isReply)?.count ?? 0) })
    }
    for _ in 0..<count {
      let side = Int.random(in: 0...1, using: &generator)
      guard first[side] < last[side] else { continue }
      let begin = Int.random(in: first[side]..<last[side], using: &generator)
      let size = [3, 50, 2000, 20_000].randomElement(using: &generator) ?? 1
      let end = min(begin + Int.random(in: 1...size, using: &generator), last[side])
      for index in begin..<end { isLost[side][index] = true }
    }
    var lossy: [Event] = []
    var positions = [0, 0]
    for event in events {
      let side = event.bytes(isReply: true) == nil ? 0 : 1
      guard let bytes = event.bytes(isReply: side == 1) else {
        lossy.append(event)
        continue
      }
      var rest = bytes[...]
      while !rest.isEmpty {
        let isGap = isLost[side][positions[side]]
        let length = isLost[side][positions[side]...].prefix(rest.count).prefix { $0 == isGap }.count
        let part = Array(rest.prefix(length))
        switch (side, isGap) {
        case (0, false): lossy.append(.client(part))
        case (0, true): lossy.append(.clientGap(length))
        case (_, false): lossy.append(.server(part))
        case (_, true): lossy.append(.serverGap(length))
        }
        rest = rest.dropFirst(length)
        positions[side] += length
      }
    }
    return lossy
  }

  @Test func whereSeveralThreadsWriteAtOnceNothingIsCertainAnyMore() throws {
    let decoded = try Decoded(
      .command("GET a"), .server("$1\r\n1\r\n"), .command("GET b"), .interleaved, .server("$1\r\n2\r\n"),
      .silence(milliseconds: 500), .command("GET c"), .server("$1\r\n3\r\n"))
    #expect(decoded.exchanges.map(\.flags) == [[], ["unvouched"], ["unvouched"]])
    // The same where it was known before anybody claimed the flow.
    let known = try Decoded(.interleaved, .command("GET a"), .server("$1\r\n1\r\n"))
    #expect(known.exchanges.map(\.flags) == [["unvouched"]])
  }
}

extension Event {
  /// The bytes of one direction; nil for everything else.
  fileprivate func bytes(isReply: Bool) -> [UInt8]? {
    switch self {
    case .client(let bytes) where !isReply: bytes
    case .server(let bytes) where isReply: bytes
    default: nil
    }
  }
}
