// What all Redis flows of the stage share: the bound of their memory, and the way out.
import TapWire

package final class RedisContext {
  /// Bytes that all flows hold.
  @exclusivity(unchecked) private(set) var heldBytes = 0
  /// Beyond it room is made: `RESPLimits.stageBytes`, or more where cutting values has not been enough.
  @exclusivity(unchecked) private var roomThreshold = RESPLimits.stageBytes
  /// Requests of one flow that may wait: fewer while requests alone fill the stage's memory.
  @exclusivity(unchecked) private(set) var pendingLimit = RESPLimits.pendingRequests
  @exclusivity(unchecked) private(set) var keptBytes = RESPLimits.largestKeptBytes
  private var flows: [UInt64: Unowned] = [:]
  private var skippedBytes: UInt64 = 0
  private var skippedFlows: UInt64 = 0
  @exclusivity(unchecked) private var flags = ByteBuffer(capacityBytes: 128)
  @exclusivity(unchecked) private var joined = ByteBuffer(capacityBytes: 16)
  private let noFlags: ByteBuffer
  @exclusivity(unchecked) var shapes = CommandShapes()

  private struct Unowned { unowned let flow: RedisFlow }

  package init() {
    var empty = ByteBuffer(capacityBytes: 16)
    empty.appendArrayHead(0)
    noFlags = empty
  }

  func add(_ flow: RedisFlow) {
    flows[flow.id] = Unowned(flow: flow)
    shareKeptBytes()
  }

  /// What an empty buffer of a flow may keep for the next message: with few flows enough for large values, which
  /// otherwise take memory from the kernel and give it back for each.
  private func shareKeptBytes() {
    let share = RESPLimits.keptBytes / (2 * max(1, flows.count))
    keptBytes = min(max(share, RESPLimits.smallestKeptBytes), RESPLimits.largestKeptBytes)
  }

  func remove(_ flow: RedisFlow) {
    flows[flow.id] = nil
    shareKeptBytes()
    heldBytes -= flow.heldBytes
  }

  /// A flow ends of which so many bytes were no part of any exchange.
  func noteSkipped(_ bytes: UInt64) {
    guard bytes > 0 else { return }
    skippedBytes += bytes
    skippedFlows += 1
  }

  /// The scope ends: says once what could not be decoded, however many flows it was.
  package func finish(into output: inout Output) {
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
  func noteChange(by bytes: Int) {
    heldBytes &+= bytes
    if heldBytes > roomThreshold { return makeRoom() }
    if bytes < 0, roomThreshold > RESPLimits.stageBytes { noteRoom() }
  }

  private static let targetBytes = RESPLimits.stageBytes / 4 * 3

  /// Sets what is allowed by what is held. Where cutting values is not enough there are requests, each small, of flows that
  /// get no replies: these give up their oldest.
  private func noteRoom() {
    let isCrowded = heldBytes > RedisContext.targetBytes
    roomThreshold =
      isCrowded ? max(RESPLimits.stageBytes, heldBytes + RESPLimits.stageBytes / 16) : RESPLimits.stageBytes
    pendingLimit = isCrowded ? RESPLimits.pendingRequests / max(16, flows.count) : RESPLimits.pendingRequests
  }

  /// Cuts the values of those flows that hold most, to three quarters of the limit: the walks stay rare.
  @inline(never)
  private func makeRoom() {
    defer { noteRoom() }
    // The share of each at which all together keep to the target, approached from above.
    for flow in flows.values.map(\.flow).sorted(by: { $0.heldBytes > $1.heldBytes }) {
      guard heldBytes > RedisContext.targetBytes else { return }
      let before = flow.heldBytes
      flow.cutHeldValues(toBytes: before / 2)
      heldBytes -= before - flow.heldBytes
    }
  }

  /// Writes an exchange.
  func emit(
    flow: UInt64, start: UInt64, end: UInt64?, firstByte: UInt64?, request: UnsafeRawBufferPointer?,
    response: UnsafeRawBufferPointer?, flags exchangeFlags: ExchangeFlags, process: UInt64?,
    annotations: UnsafeRawBufferPointer? = nil, into output: inout Output
  ) {
    var exchangeFlags = exchangeFlags
    var request = request
    var response = response
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
      flow: flow, start: start, end: end, protocolName: RedisContext.protocolName, request: request,
      response: response, flags: exchangeFlags.isEmpty ? noFlags.bytes : flags.bytes, firstByte: firstByte,
      process: process, annotations: annotations
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
