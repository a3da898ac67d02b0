// The stage that joins both views of an exchange: what is certain becomes one, and everything else passes as it is.
import TapWire

/// A flow whose other end is captured, too.
final class KnownFlow {
  let peer: UInt64
  let role: Role
  /// Nothing of it is known to have been missed so far.
  var isWhole: Bool
  var pair: ConnectionPair?

  init(peer: UInt64, role: Role, isWhole: Bool) {
    self.peer = peer
    self.role = role
    self.isWhole = isWhole
  }
}

/// What waits, in all connections together.
final class Holdings {
  /// What keeping a frame costs beside its bytes, generously.
  static let frameBytes = 256

  struct Waiting {
    var pair: ConnectionPair
    var isOnServer: Bool
    var number: UInt64
    /// When it was over, by the clock of the capture.
    var time: UInt64

    fileprivate var isWaiting: Bool { pair.isWaiting(number, onServer: isOnServer) }
  }

  /// Exchanges in the order in which they were over.
  final class Queue {
    private var exchanges: [Waiting] = []
    private var head = 0

    var count: Int { exchanges.count - head }

    func append(_ exchange: Waiting) { exchanges.append(exchange) }

    /// The first one that still waits.
    func first() -> Waiting? {
      while head < exchanges.count, !exchanges[head].isWaiting { removeFirst() }
      return head < exchanges.count ? exchanges[head] : nil
    }

    func removeFirst() {
      head += 1
      if head * 2 >= exchanges.count {
        exchanges.removeFirst(head)
        head = 0
      }
    }
  }

  /// Of all frames that wait.
  var bytes = 0
  /// Those that wait for `MergeStage.patience`, and those that do for `serverPatience`.
  let short = Queue()
  let long = Queue()

  var count: Int { short.count + long.count }

  func append(_ exchange: Waiting, isPatient: Bool) { (isPatient ? long : short).append(exchange) }
}

/// Joins the client's and the server's view of exchanges.
package struct MergeStage: Stage, ~Copyable {
  /// The name under which the stage's own loop speaks.
  package static let program = "tap-merge"
  /// An exchange waits for the other side's view at most so long: by the capture's clock, and as long without any input.
  package static let patience: UInt64 = 200_000_000
  /// A client may read its response late, and that difference is worth the most: the server's view of a connection in step
  /// waits for longer.
  package static let serverPatience: UInt64 = 10_000_000_000
  /// Of all frames that wait.
  package static let maximumBytes = 16 << 20
  package static let maximumExchanges = 65536
  /// Flows with another end that are known; more of them pass as they are.
  private static let maximumFlows = 1 << 18

  private var flows = FlowTable<KnownFlow>()
  private var holdings = Holdings()
  /// The latest time that the stream has told.
  private var now: UInt64 = 0

  package init() {}

  package var patienceNanoseconds: UInt64? {
    holdings.short.first() != nil ? MergeStage.patience : holdings.long.first() != nil ? MergeStage.serverPatience : nil
  }

  package mutating func losePatience(into output: inout Output) {
    releaseAll(holdings.short.first() != nil ? holdings.short : holdings.long, into: &output)
  }

  package mutating func endScope(into output: inout Output) {
    releaseAll(holdings.short, into: &output)
    releaseAll(holdings.long, into: &output)
    flows.removeAll()
    now = 0
  }

  package mutating func receive(_ frame: Frame, into output: inout Output) throws(WireError) {
    switch frame.kind {
    case .exchange: try receive(try ExchangeFrame(frame), in: frame, into: &output)
    case .flow:
      let flow = try FlowFrame(frame)
      learn(flow)
      pass(frame, of: flow.id, .other, at: 0, into: &output)
    case .data:
      let data = try DataFrame(frame)
      pass(frame, of: data.flow, .other, at: data.time, into: &output)
    case .gap:
      let gap = try GapFrame(frame)
      pass(frame, of: gap.flow, .gap, at: gap.time, into: &output)
    case .close:
      let close = try CloseFrame(frame)
      pass(frame, of: close.flow, .close, at: close.time, into: &output)
      flows[close.flow] = nil
    case .hidden: hide(try HiddenFrame(frame), in: frame, into: &output)
    case .connection: pass(frame, of: try ConnectionFrame(frame).flow, .other, at: 0, into: &output)
    default: output.forward(frame)
    }
  }

  // MARK: Flows

  private mutating func learn(_ flow: FlowFrame) {
    guard let peer = flow.peerFlow, peer != flow.id, flow.role != .unknown, flows[flow.id]?.pair == nil,
      flows.count < MergeStage.maximumFlows
    else { return }
    let known = flows[flow.id] ?? KnownFlow(peer: peer, role: flow.role, isWhole: !flow.isPreexisting)
    flows[flow.id] = known
    guard known.peer == peer, let other = flows[peer], other.peer == flow.id, other.pair == nil,
      other.role != known.role
    else { return }
    let pair = ConnectionPair(
      serverFlow: known.role == .server ? flow.id : peer, isSeenFromTheBeginning: known.isWhole && other.isWhole,
      holdings: holdings)
    known.pair = pair
    other.pair = pair
  }

  // MARK: Frames

  private mutating func receive(
    _ exchange: ExchangeFrame, in frame: Frame, into output: inout Output
  ) throws(WireError) {
    advance(to: exchange.end ?? exchange.start, &output)
    guard let flow = flows[exchange.flow] else { return output.forward(frame) }
    guard let pair = flow.pair else {
      flow.isWhole = false
      return output.forward(frame)
    }
    let held = HeldFrame(exchange, in: frame)
    let isOnServer = flow.role == .server
    guard let number = pair.receive(held, onServer: isOnServer, into: &output) else { return }
    holdings.append(
      Holdings.Waiting(pair: pair, isOnServer: isOnServer, number: number, time: held.times.last),
      isPatient: isOnServer && pair.isServerPatient)
  }

  /// A filter has left exchanges out.
  private mutating func hide(_ hidden: HiddenFrame, in frame: Frame, into output: inout Output) {
    if let flow = flows[hidden.flow] {
      if let pair = flow.pair {
        pair.receive(hidden: hidden.count, onServer: flow.role == .server)
      } else {
        flow.isWhole = false
      }
    }
    pass(frame, of: hidden.flow, .other, at: 0, into: &output)
  }

  /// Another frame goes on at once, unless something of its flow waits in front of it.
  private mutating func pass(
    _ frame: Frame, of id: UInt64, _ kind: HeldFrame.Kind, at time: UInt64, into output: inout Output
  ) {
    advance(to: time, &output)
    guard let flow = flows[id] else { return output.forward(frame) }
    if kind == .gap { flow.isWhole = false }
    guard let pair = flow.pair, kind != .other || pair.isHolding(onServer: flow.role == .server) else {
      return output.forward(frame)
    }
    pair.receive(
      other: HeldFrame(frame, kind: kind, time: time), onServer: flow.role == .server, into: &output)
  }

  // MARK: Waiting

  /// Lets go of what has waited for too long by now, or is too much.
  private mutating func advance(to time: UInt64, _ output: inout Output) {
    now = max(now, time)
    release(holdings.short, after: MergeStage.patience, &output)
    release(holdings.long, after: MergeStage.serverPatience, &output)
    while holdings.bytes > MergeStage.maximumBytes || holdings.count > MergeStage.maximumExchanges {
      let (short, long) = (holdings.short.first(), holdings.long.first())
      guard short != nil || long != nil else { return }
      releaseFirst(short?.time ?? .max <= long?.time ?? .max ? holdings.short : holdings.long, &output)
    }
  }

  private mutating func release(_ queue: Holdings.Queue, after patience: UInt64, _ output: inout Output) {
    while let oldest = queue.first(), now > oldest.time, now - oldest.time > patience { releaseFirst(queue, &output) }
  }

  private mutating func releaseFirst(_ queue: Holdings.Queue, _ output: inout Output) {
    guard let oldest = queue.first() else { return }
    queue.removeFirst()
    oldest.pair.release(oldest.number, onServer: oldest.isOnServer, into: &output)
  }

  private mutating func releaseAll(_ queue: Holdings.Queue, into output: inout Output) {
    while queue.first() != nil { releaseFirst(queue, &output) }
  }
}
