// What all Redis flows of the stage share: the bound of their memory, and the way out.
import TapWire

package final class RedisContext {
  /// Bytes that all flows hold.
  @exclusivity(unchecked) private(set) var heldBytes = 0
  /// Beyond it room is made. More than the limit only where not enough could be given up, so that the walks stay rare.
  @exclusivity(unchecked) private var roomBytes = RESPLimits.stageBytes
  @exclusivity(unchecked) private(set) var keptBytes = RESPLimits.largestKeptBytes
  private var flows: [UInt64: Unowned] = [:]
  private var forgottenFlows: UInt64 = 0
  /// The parser that the last message was read with: nearly always the next flow's that needs one.
  @exclusivity(unchecked) private var spareReplies: UnsafeMutablePointer<ReplyParser>?
  private var skippedBytes: UInt64 = 0
  private var skippedFlows: UInt64 = 0
  @exclusivity(unchecked) private var flags = ByteBuffer(capacityBytes: 128)
  @exclusivity(unchecked) private var joined = ByteBuffer(capacityBytes: 16)
  private let noFlags: ByteBuffer
  @exclusivity(unchecked) var shapes = CommandShapes()

  private struct Unowned { unowned let flow: RedisFlow }

  /// What is done with exchanges before they are written; nil where that is nothing.
  private let shaper: ExchangeShaper?
  /// Whether exchanges are hidden, and whether those that are not stay as they are.
  let hidesExchanges: Bool
  let changesNothing: Bool
  /// Whether passwords are replaced, and whether the names that a connection has given itself are hidden.
  let masksSecrets: Bool
  let hidesNames: Bool

  package init(rules: OutputRules = OutputRules()) {
    shaper = rules.isEmpty ? nil : ExchangeShaper(rules)
    hidesExchanges = !rules.filter.isEmpty
    masksSecrets = rules.redaction.masksSecrets
    hidesNames = !rules.redaction.isEmpty
    changesNothing = shaper?.changesNothing ?? true
    var empty = ByteBuffer(capacityBytes: 16)
    empty.appendArrayHead(0)
    noFlags = empty
  }

  deinit { spareReplies.map { RedisContext.free($0) } }

  func add(_ flow: RedisFlow) {
    flows[flow.id] = Unowned(flow: flow)
    heldBytes += RESPLimits.flowBytes
    shareKeptBytes()
  }

  /// The flows that are to end because there are more than may be: those that have been silent for longest, an eighth of all,
  /// so that they are rarely looked for.
  package func takeQuietest() -> [UInt64] {
    guard flows.count >= RESPLimits.flows else { return [] }
    let quietest = flows.map { (time: $1.flow.lastTime, id: $0) }.sorted { $0 < $1 }
      .prefix(RESPLimits.flows / 8)
    forgottenFlows += UInt64(quietest.count)
    return quietest.map(\.id)
  }

  @inline(__always)
  func lendReplies() -> UnsafeMutablePointer<ReplyParser> {
    if let spareReplies {
      self.spareReplies = nil
      return spareReplies
    }
    let made = UnsafeMutablePointer<ReplyParser>.allocate(capacity: 1)
    made.initialize(to: ReplyParser())
    return made
  }

  @inline(__always)
  func takeBack(_ replies: UnsafeMutablePointer<ReplyParser>) {
    guard spareReplies == nil else { return RedisContext.free(replies) }
    replies.pointee.becomeSpare()
    spareReplies = replies
  }

  static func free(_ replies: UnsafeMutablePointer<ReplyParser>) {
    replies.deinitialize(count: 1)
    replies.deallocate()
  }

  /// What an empty buffer of a flow may keep for the next message: with few flows enough for large values, which
  /// otherwise take memory from the kernel and give it back for each.
  ///
  /// It changes when the number of flows has doubled, and then all give back what they keep beyond it.
  private func shareKeptBytes() {
    let flowsAtMost = 1 << (Int.bitWidth - flows.count.leadingZeroBitCount)
    let share = min(
      max(RESPLimits.keptBytes / flowsAtMost, RESPLimits.smallestKeptBytes), RESPLimits.largestKeptBytes)
    let isLess = share < keptBytes
    keptBytes = share
    if isLess { for flow in flows.values { flow.flow.shrinkBuffers() } }
  }

  func remove(_ flow: RedisFlow) {
    flows[flow.id] = nil
    shareKeptBytes()
    heldBytes -= flow.heldBytes + RESPLimits.flowBytes
  }

  /// A flow ends of which so many bytes were no part of any exchange.
  func noteSkipped(_ bytes: UInt64) {
    guard bytes > 0 else { return }
    skippedBytes += bytes
    skippedFlows += 1
  }

  /// The scope ends: says once what could not be decoded, however many flows it was.
  package func finish(into output: inout Output) {
    shaper?.finish(into: &output)
    if forgottenFlows > 0 {
      NoticeFrame(
        stage: "tap-resp", severity: .warning, time: 0,
        text: "\(forgottenFlows) times a Redis connection was forgotten that had been silent for longest, since "
          + "\(RESPLimits.flows) were open: what it said later is decoded as if joined in its middle",
        counters: [("forgotten_flows", forgottenFlows)]
      ).append(to: &output.buffer)
      output.endRecord()
      forgottenFlows = 0
    }
    guard skippedBytes > 0 else { return }
    NoticeFrame(
      stage: "tap-resp", severity: .warning, time: 0,
      text: "\(skippedBytes) bytes of Redis flows could not be decoded: they stand behind a loss, or are no RESP",
      counters: [("skipped_bytes", skippedBytes), ("flows", skippedFlows)]
    ).append(to: &output.buffer)
    output.endRecord()
    skippedBytes = 0
    skippedFlows = 0
  }

  @inline(__always)
  func noteChange(by bytes: Int, into output: inout Output) {
    heldBytes &+= bytes
    if heldBytes > roomBytes { makeRoom(into: &output) }
  }

  /// Cuts the values of those flows that hold most, to three quarters of the limit: the walks stay rare. Where values are
  /// not what takes the room, those flows give up what waits longest.
  @inline(never)
  private func makeRoom(into output: inout Output) {
    let target = RESPLimits.stageBytes / 4 * 3
    defer { roomBytes = max(RESPLimits.stageBytes, heldBytes + RESPLimits.stageBytes / 16) }
    let largestFirst = flows.values.map(\.flow).sorted { $0.heldBytes > $1.heldBytes }
    // The share of each at which all together keep to the target, approached from above.
    for flow in largestFirst {
      guard heldBytes > target else { return }
      change(flow) { flow.cutHeldValues(toBytes: flow.heldBytes / 2) }
    }
    for flow in largestFirst {
      guard heldBytes > target else { return }
      change(flow) { flow.giveUpWaiting(toBytes: flow.heldBytes / 2, into: &output) }
    }
  }

  private func change(_ flow: RedisFlow, _ body: () -> Void) {
    let before = flow.heldBytes
    body()
    heldBytes -= before - flow.heldBytes
  }

  /// Whether a plain exchange is to be written whose reply, no error, is not a map yet.
  @inline(never)
  func shows(
    plainRequest request: UnsafeRawBufferPointer, annotations: UnsafeRawBufferPointer, start: UInt64, end: UInt64,
    database: Int64?
  ) -> Bool {
    guard let shaper else { return true }
    let exchange = ExchangeFilter.Candidate(
      request: request, response: nil, annotations: annotations, start: start, end: end, flags: [])
    return shaper.shows(exchange, database: database)
  }

  /// Writes an exchange, if it is to be shown.
  func emit(
    of flow: RedisFlow, start: UInt64, end: UInt64?, firstByte: UInt64?, request: UnsafeRawBufferPointer?,
    response: UnsafeRawBufferPointer?, flags: ExchangeFlags, process: UInt64?,
    annotations: UnsafeRawBufferPointer? = nil, into output: inout Output
  ) {
    var exchange = ExchangeFilter.Candidate(
      request: request, response: response, annotations: annotations, start: start, end: end, flags: flags)
    if let shaper {
      guard shaper.shows(exchange, database: flow.toldDatabase) else {
        flow.hiddenExchanges += 1
        return
      }
      flow.tellHidden(into: &output)
      exchange = shaper.shaped(exchange)
    }
    write(exchange, flow: flow.id, firstByte: firstByte, process: process, into: &output)
    shaper?.endExchange()
  }

  private func write(
    _ exchange: ExchangeFilter.Candidate, flow: UInt64, firstByte: UInt64?, process: UInt64?, into output: inout Output
  ) {
    var exchangeFlags = exchange.flags
    var request = exchange.request
    var response = exchange.response
    let valueBytes = (request?.count ?? 0) + (response?.count ?? 0)
    if valueBytes > RESPLimits.exchangeBytes {
      joined.removeAll()
      (request, response) = cutTogether(request, response)
      exchangeFlags.insert(.cut)
    }
    if !exchangeFlags.isEmpty {
      flags.removeAll()
      exchangeFlags.append(to: &flags)
    }
    ExchangeFrame(
      flow: flow, start: exchange.start, end: exchange.end, protocolName: RedisContext.protocolName, request: request,
      response: response, flags: exchangeFlags.isEmpty ? noFlags.bytes : flags.bytes, firstByte: firstByte,
      process: process, annotations: exchange.annotations
    ).append(to: &output)
    if valueBytes > RESPLimits.exchangeBytes { joined.shrink(toCapacityBytes: 16) }
  }

  private static let name: StaticString = "redis"
  private static var protocolName: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
  }

  /// Request and response each keep to the limit; together they must, too.
  private func cutTogether(
    _ request: UnsafeRawBufferPointer?, _ response: UnsafeRawBufferPointer?
  ) -> (UnsafeRawBufferPointer?, UnsafeRawBufferPointer?) {
    let empty = UnsafeRawBufferPointer(start: nil, count: 0)
    joined.append(request ?? empty)
    joined.append(response ?? empty)
    let length = ValueTrimmer.threshold(for: RESPLimits.exchangeBytes, of: joined.bytes, comingBytes: 0)
    let all = joined.mutableBytes
    let split = request?.count ?? 0
    let requestBytes = ValueTrimmer.trim(UnsafeMutableRawBufferPointer(rebasing: all[..<split]), to: length)
    let responseBytes = ValueTrimmer.trim(UnsafeMutableRawBufferPointer(rebasing: all[split...]), to: length)
    return (
      request == nil ? nil : UnsafeRawBufferPointer(rebasing: all[..<requestBytes]),
      response == nil ? nil : UnsafeRawBufferPointer(rebasing: all[split..<(split + responseBytes)])
    )
  }
}
