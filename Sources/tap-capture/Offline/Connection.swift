// One TCP connection of a capture file as a flow: who is the client, when it begins and ends.
import TapWire

struct Endpoint: Equatable {
  let address: IPAddress
  let port: UInt16

  var wire: Address { .ip(address.text, port: port) }
}

/// A connection with both its directions.
///
/// A capture file sees both ends at once. The flow is the client's, or that of the process that the file names at the other
/// end. It is described when its first bytes go out: then the handshake was seen if it is in the file.
final class Connection {
  /// Of the two ends: the one that sent the first packet, or the other.
  enum End {
    case first
    case second

    var opposite: End { self == .first ? .second : .first }
  }

  let flow: UInt64
  private let endpoints: (first: Endpoint, second: Endpoint)
  private var fromFirst = TCPStream()
  private var fromSecond = TCPStream()
  /// Who opened the connection; nil until a SYN was seen.
  private var opener: End?
  /// The shifts of the windows that the ends announce (RFC 7323); nil until their SYN was seen.
  private var windowShifts: (first: Int?, second: Int?) = (nil, nil)
  private var processes: (first: UInt64?, second: UInt64?) = (nil, nil)
  /// The end whose flow this is, and the process that its frame names; nil until it is described.
  private var described: (local: End, process: UInt64?)?
  private var packets: UInt64 = 0
  /// The number of the capture's packet that came last, for forgetting the quietest.
  private(set) var lastPacket: UInt64 = 0
  private(set) var isEnded = false

  init(flow: UInt64, sender: Endpoint, receiver: Endpoint) {
    self.flow = flow
    endpoints = (sender, receiver)
  }

  func end(of endpoint: Endpoint) -> End { endpoint == endpoints.first ? .first : .second }

  /// What waits for missing bytes, in both directions.
  var heldBytes: Int { fromFirst.waiting.heldBytes + fromSecond.waiting.heldBytes }
  var repeatedBytes: UInt64 { fromFirst.repeatedBytes + fromSecond.repeatedBytes }
  var contradictions: UInt64 { fromFirst.waiting.contradictions + fromSecond.waiting.contradictions }

  // MARK: Description

  /// Ephemeral ports are high (RFC 6335, section 6): without a handshake the lower port is the server's.
  private var client: End { opener ?? (endpoints.first.port < endpoints.second.port ? .second : .first) }

  private func describe(to writer: FlowWriter) -> End {
    let client = self.client
    let server = client.opposite
    let local = process(of: client) == nil && process(of: server) != nil ? server : client
    if described == nil { writer.totals.flows += 1 }
    described = (local, process(of: local))
    writer.write(
      FlowFrame(
        id: flow, process: process(of: local), transport: "tcp",
        local: (local == .first ? endpoints.first : endpoints.second).wire,
        remote: (local == .first ? endpoints.second : endpoints.first).wire, role: local == client ? .client : .server,
        isPreexisting: opener == nil))
    return local
  }

  /// As which direction the bytes that `end` sent go out; describes the flow first if it was not yet.
  func direction(from end: End, describingTo writer: FlowWriter) -> Direction {
    end == described?.local ?? describe(to: writer) ? .sent : .received
  }

  private func process(of end: End) -> UInt64? { end == .first ? processes.first : processes.second }

  /// Learns which process is at an end. Of the flow's own one the description is sent again.
  func learn(process: UInt64, at end: End, to writer: FlowWriter) {
    guard self.process(of: end) == nil else { return }
    if end == .first { processes.first = process } else { processes.second = process }
    if let described, described.local == end, described.process == nil { _ = describe(to: writer) }
  }

  // MARK: Packets

  /// Whether a segment is of another connection between the same ports.
  func isForeign(_ segment: TCPSegment, from sender: End) -> Bool {
    if segment.isReset { return false }
    guard segment.isSyn else {
      return segment.payloadLength > 0 && withStream(from: sender) { $0.isForeign(segment, isEnded: isEnded) }
    }
    let isUnseen = withStream(from: sender) { $0.isUnseen }
    if isUnseen, opener == nil {
      // What came so far was joined in the middle, unless it stood in the file before this handshake.
      guard let acknowledgement = segment.acknowledgement, !isEnded else { return true }
      return !withStream(from: sender.opposite) { $0.canBegin(behindSyn: acknowledgement &- 1) }
    }
    return !withStream(from: sender) { $0.canBegin(behindSyn: segment.sequence) } || (isUnseen && isEnded)
  }

  private func withStream<Result>(from end: End, _ body: (inout TCPStream) -> Result) -> Result {
    end == .first ? body(&fromFirst) : body(&fromSecond)
  }

  func receive(_ segment: TCPSegment, from sender: End, time: UInt64, packet: UInt64, to writer: FlowWriter) {
    lastPacket = packet
    // What comes behind the end is a retransmission or a late acknowledgement.
    guard !isEnded else {
      writer.totals.repeatedBytes += UInt64(segment.payloadLength)
      return
    }
    packets += 1
    let moment = PacketMoment(packet: packets, time: time)
    if segment.isSyn { shakeHands(segment, from: sender, to: writer) }
    // What a segment acknowledges came before what it carries.
    if let acknowledgement = segment.acknowledgement {
      acknowledge(acknowledgement, of: segment, from: sender, moment, to: writer)
    }
    if segment.isReset {
      if withStream(from: sender, { $0.accepts(resetAt: segment.sequence) }) {
        end(reason: "reset", time: time, to: writer)
      } else {
        writer.totals.refusedResets += 1
      }
      return
    }
    writer.select(self, sender)
    withStream(from: sender) { $0.add(segment, moment, to: writer) }
    if fromFirst.isFinished && fromSecond.isFinished { end(reason: "closed", time: time, to: writer) }
  }

  private func shakeHands(_ segment: TCPSegment, from sender: End, to writer: FlowWriter) {
    // Only who answers acknowledges in its SYN (RFC 9293, section 3.5); of two that open at once the first is the client.
    if opener == nil { opener = segment.acknowledgement == nil ? sender : sender.opposite }
    fromFirst.isOpened = true
    fromSecond.isOpened = true
    if sender == .first { windowShifts.first = segment.windowShift } else { windowShifts.second = segment.windowShift }
    writer.select(self, sender)
    withStream(from: sender) { $0.begin(behindSyn: segment.sequence, to: writer) }
  }

  private func acknowledge(
    _ number: UInt32, of segment: TCPSegment, from sender: End, _ moment: PacketMoment, to writer: FlowWriter
  ) {
    let shift = sender == .first ? windowShifts.first : windowShifts.second
    // The window in a SYN is never shifted (RFC 7323, section 2.2). Where the shift is not known it is the largest.
    let window = Int64(segment.window) << (segment.isSyn ? 0 : shift ?? 14)
    writer.select(self, sender.opposite)
    withStream(from: sender.opposite) {
      $0.acknowledge(number, window: window, moment, to: writer)
    }
  }

  // MARK: The end

  /// Gives up what is missing, so that nothing waits any more.
  func release(time: UInt64, to writer: FlowWriter) {
    for end in [End.first, .second] {
      writer.select(self, end)
      withStream(from: end) { $0.release(time: time, to: writer) }
    }
  }

  /// The capture ends, or the connection does: what waits goes out, with the gaps that are certain now.
  func finish(time: UInt64, to writer: FlowWriter) {
    guard !isEnded else { return }
    isEnded = true
    for end in [End.first, .second] {
      writer.select(self, end)
      withStream(from: end) { $0.finish(time: time, to: writer) }
    }
    if described == nil { _ = describe(to: writer) }
    writer.totals.repeatedBytes += repeatedBytes
    if contradictions > 0 { writer.totals.contradicted(flow, contradictions) }
  }

  func end(reason: String, time: UInt64, to writer: FlowWriter) {
    guard !isEnded else { return }
    finish(time: time, to: writer)
    writer.write(CloseFrame(flow: flow, time: time, reason: reason))
  }
}
