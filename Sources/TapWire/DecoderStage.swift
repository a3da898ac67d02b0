// What all decoders share: flows are held back until claimed, claimed flows are decoded, everything else passes in order.

/// What the first bytes of a flow say about its protocol.
public enum Verdict: Sendable {
  /// No other protocol begins like this: the decoder takes the flow.
  case claim
  /// It is something else: the flow passes through.
  case reject
  /// More bytes, or the other direction, must decide.
  case undecided
}

/// The first bytes of a flow in both directions, up to `UndecidedFlow.evidenceBytes` each.
///
/// They begin anywhere where the flow was open before the capture, and behind the gap where one came before the verdict. Of
/// such a flow the evidence is the latest: once both directions have spoken a full one begins again with the next frame.
public struct FlowEvidence {
  /// Which side the process is; unknown where no flow frame came.
  public let role: Role
  /// Whether bytes of one direction may be in another order than on the wire.
  public let isInterleaved: Bool
  /// Whether both directions begin with the connection's first byte.
  public let isFromBeginning: Bool
  /// Whether this is all there will be: the flow has ended, or no more of it is held back.
  public let isFinal: Bool
  /// `FlowFrame.connectionHash`; 0 where no flow frame came, too.
  public let connectionHash: UInt32
  public let sent: UnsafeRawBufferPointer
  public let received: UnsafeRawBufferPointer

  package init(
    role: Role, isInterleaved: Bool, isFromBeginning: Bool, isFinal: Bool = false, connectionHash: UInt32 = 0,
    sent: UnsafeRawBufferPointer, received: UnsafeRawBufferPointer
  ) {
    self.role = role
    self.isInterleaved = isInterleaved
    self.isFromBeginning = isFromBeginning
    self.isFinal = isFinal
    self.connectionHash = connectionHash
    self.sent = sent
    self.received = received
  }
}

/// A decoder of one flow that it claimed: override what the protocol needs.
///
/// A class, not a protocol, so that the stage can call it without counting references: twice for each frame, that was a
/// tenth of the time.
open class FlowDecoder {
  /// The stream offset that must come next in each direction; `unknown` before its first byte. They stand here because a
  /// decoder is in the cache when its data comes, and what knows of the flow besides need not be.
  @exclusivity(unchecked) private final var nextSent = FlowDecoder.unknown
  @exclusivity(unchecked) private final var nextReceived = FlowDecoder.unknown

  /// No byte can stand there: a stream ends below 2^64.
  private static var unknown: UInt64 { .max }

  public init() {}

  /// The offset that must come next; nil before the first byte.
  final func next(_ direction: Direction) -> UInt64? {
    let next = direction == .sent ? nextSent : nextReceived
    return next == FlowDecoder.unknown ? nil : next
  }

  @inline(__always)
  final func setNext(_ direction: Direction, _ offset: UInt64) {
    if direction == .sent { nextSent = offset } else { nextReceived = offset }
  }

  /// Receives data that continues where the last ended; does nothing and returns false for any other.
  @inline(__always)
  final func receiveNext(_ data: DataFrame, into output: inout Output) -> Bool {
    guard data.offset == (data.direction == .sent ? nextSent : nextReceived) else { return false }
    setNext(data.direction, data.offset &+ UInt64(data.bytes.count))
    receive(data, into: &output)
    return true
  }

  /// The flow was described again, with more in it.
  open func update(_ flow: FlowFrame) {}

  /// The next bytes of one direction: `data.offset` continues where the last ended.
  open func receive(_ data: DataFrame, into output: inout Output) {}

  /// Bytes of one direction are missing: `gap.offset` continues where the last data ended.
  open func lose(_ gap: GapFrame, into output: inout Output) {}

  /// The flow ends; `time` is nil where the stream ended first. Emit what is pending. Nothing follows.
  open func close(at time: UInt64?, into output: inout Output) {}
}

/// A stage that decodes the flows of its protocol and passes everything else on, in order within each flow.
///
/// Not generic over the decoder: a virtual call costs less than code that cannot be specialised across modules.
public struct DecoderStage: Stage, ~Copyable {
  /// Judges the first bytes of a flow. Called again with more of them while undecided.
  public typealias Judge = (FlowEvidence) -> Verdict
  /// Takes the flow `id` that was claimed on that evidence.
  public typealias Claim = (_ id: UInt64, FlowEvidence) -> FlowDecoder

  deinit { for id in flows.keys { flows[id]?.release() } }

  /// The flows that the decoder gives up to make room for one more.
  public typealias Excess = () -> [UInt64]

  /// All flows of a scope have ended: what the decoder has to say of them together.
  public typealias Finish = (inout Output) -> Void

  private let judge: Judge
  private let claim: Claim
  private let excess: Excess
  private let finish: Finish
  private var flows = FlowTable<Unmanaged<FlowState>>()
  /// Flows of which no data has come.
  private var silent = FlowTable<FlowOrigin>()
  private var recent = RecentFlows()
  private var heldBytes = 0

  /// Frames held back in all; beyond it the flow that wants more is released.
  static let maximumHeldBytes = 8 << 20
  /// Flows that are remembered without data: 16 MiB. Any more are taken as they come, like those that nobody described.
  private static let maximumSilentFlows = 1 << 19

  public init(
    judge: @escaping Judge, claim: @escaping Claim, excess: @escaping Excess = { [] },
    finish: @escaping Finish = { _ in }
  ) {
    self.judge = judge
    self.claim = claim
    self.excess = excess
    self.finish = finish
  }

  public mutating func receive(_ frame: Frame, into output: inout Output) throws(WireError) {
    if frame.kind == .data { try receiveData(frame, into: &output) } else { try receiveOther(frame, into: &output) }
  }

  @inline(never)
  private mutating func receiveOther(_ frame: Frame, into output: inout Output) throws(WireError) {
    switch frame.kind {
    case .gap: try receiveGap(frame, into: &output)
    case .close: try receiveClose(frame, into: &output)
    case .flow:
      try describe(FlowFrame(frame))
      output.forward(frame)
    default: output.forward(frame)
    }
  }

  public mutating func endScope(into output: inout Output) {
    for id in flows.keys.sorted() { end(id, at: nil, into: &output) }
    flows.removeAll()
    silent.removeAll()
    finish(&output)
  }

  private mutating func end(_ id: UInt64, at time: UInt64?, into output: inout Output) {
    guard let state = flows[id]?.takeRetainedValue() else {
      silent[id] = nil
      return
    }
    flows[id] = nil
    recent.forget(id)
    if let undecided = state.undecided {
      // What has passed already cannot be claimed any more.
      let isClaimed = !undecided.isPassing && judge(state.evidence(undecided, isFinal: true)) == .claim
      settle(state, undecided, as: isClaimed ? .claim : .reject, id: id, into: &output)
    }
    state.close(at: time, into: &output)
  }

  /// The decoder has given up a flow: if it goes on, that is the middle of it.
  private mutating func forget(_ id: UInt64, into output: inout Output) {
    guard let origin = flows[id]?.takeUnretainedValue().originOfTheRest else { return }
    end(id, at: nil, into: &output)
    if silent.count < Self.maximumSilentFlows { silent[id] = origin }
  }

  private mutating func state(of id: UInt64) -> FlowState {
    if let state = flows[id] { return state.takeUnretainedValue() }
    let state = FlowState(silent[id] ?? FlowOrigin())
    silent[id] = nil
    flows[id] = Unmanaged.passRetained(state)
    return state
  }

  private mutating func describe(_ flow: FlowFrame) {
    if let state = flows[flow.id]?.takeUnretainedValue() { return state.update(flow) }
    guard silent.count < Self.maximumSilentFlows || silent.contains(flow.id) else { return }
    var origin = silent[flow.id] ?? FlowOrigin()
    origin.update(flow)
    silent[flow.id] = origin
  }

  @inline(__always)
  private mutating func receiveData(_ frame: Frame, into output: inout Output) throws(WireError) {
    let data = try DataFrame(frame)
    if let decoder = recent[data.flow],
      decoder._withUnsafeGuaranteedRef({ $0.receiveNext(data, into: &output) })
    {
      return
    }
    receiveOlder(frame, data, into: &output)
  }

  /// Data of a flow that is not among the recent ones or is out of step, or that nobody has claimed.
  @inline(never)
  private mutating func receiveOlder(_ frame: Frame, _ data: DataFrame, into output: inout Output) {
    if let state = flows[data.flow]?.takeUnretainedValue(), let decoder = state.decoder {
      recent.note(data.flow, decoder)
      _ = state.deliver(data, into: &output)
      return
    }
    receiveUnclaimed(frame, data, into: &output)
  }

  @inline(never)
  private mutating func receiveUnclaimed(_ frame: Frame, _ data: DataFrame, into output: inout Output) {
    let state = state(of: data.flow)
    guard let undecided = state.undecided else { return output.forward(frame) }
    undecided.hold(frame, data: data)
    heldBytes += frame.encoded.count
    decide(state, undecided, id: data.flow, into: &output)
  }

  private mutating func receiveGap(_ frame: Frame, into output: inout Output) throws(WireError) {
    let gap = try GapFrame(frame)
    guard let state = flows[gap.flow]?.takeUnretainedValue() else {
      // The offset of the first data will say how much is missing.
      silent[gap.flow]?.hasLoss = true
      return output.forward(frame)
    }
    if let undecided = state.undecided {
      undecided.hold(frame, gap: gap)
      heldBytes += frame.encoded.count
      decide(state, undecided, id: gap.flow, into: &output)
      return
    }
    state.deliver(gap, into: &output)
    // A gap stays visible downstream, whoever decodes the flow.
    output.forward(frame)
  }

  private mutating func receiveClose(_ frame: Frame, into output: inout Output) throws(WireError) {
    let close = try CloseFrame(frame)
    end(close.flow, at: close.time, into: &output)
    output.forward(frame)
  }

  private mutating func decide(
    _ state: FlowState, _ undecided: UndecidedFlow, id: UInt64, into output: inout Output
  ) {
    let isFull = undecided.held.count > UndecidedFlow.maximumHeldBytes || heldBytes > Self.maximumHeldBytes
    let evidence = state.evidence(undecided, isFinal: isFull && !undecided.isPassing)
    let verdict = judge(evidence)
    if verdict != .undecided { return settle(state, undecided, as: verdict, id: id, into: &output) }
    guard isFull || undecided.isPassing else { return }
    // Two sides that began with so much that says nothing are of another protocol. In the middle of a large value there is
    // nothing to know yet; and where one side is silent its bytes may be lost, which is told only with the next that are not.
    let hasBothSides = !evidence.sent.isEmpty && !evidence.received.isEmpty
    if evidence.isFromBeginning, hasBothSides { return settle(state, undecided, as: .reject, id: id, into: &output) }
    undecided.forEachHeldFrame { output.forward($0) }
    heldBytes -= undecided.held.count
    undecided.pass()
  }

  private mutating func settle(
    _ state: FlowState, _ undecided: UndecidedFlow, as verdict: Verdict, id: UInt64, into output: inout Output
  ) {
    heldBytes -= undecided.held.count
    state.undecided = nil
    if verdict == .claim {
      for quiet in excess() { forget(quiet, into: &output) }
      state.claim(with: claim(id, state.evidence(undecided)))
    }
    undecided.forEachHeldFrame { frame in
      if frame.kind == .data, let data = try? DataFrame(frame), state.deliver(data, into: &output) { return }
      if frame.kind == .gap, let gap = try? GapFrame(frame) { state.deliver(gap, into: &output) }
      output.forward(frame)
    }
  }
}
