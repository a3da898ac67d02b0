// One TCP connection of a capture file: its two directions, its handshake and its end.
import TapWire

/// A connection and the flow that it becomes.
struct Connection {
  private var flow: Flow
  private var fromFirst = TCPStream()
  private var fromSecond = TCPStream()
  /// The shifts of the windows that the ends announce (RFC 7323); nil until their SYN was seen.
  private var windowShifts: (first: Int?, second: Int?) = (nil, nil)
  private var packets: UInt64 = 0
  /// The number of the capture's packet that came last, for forgetting the quietest.
  private(set) var lastPacket: UInt64 = 0
  private(set) var isEnded = false
  /// Who has reset it, and when, while bytes before that are still missing.
  private var reset: (sender: End, time: UInt64)?
  /// Whether the end that did not send the first packet was seen.
  private var isAnswered = false
  /// The number of the flow, which grows.
  let number: UInt64

  init(number: UInt64, sender: Endpoint, receiver: Endpoint, writer: FlowWriter) {
    self.number = number
    flow = Flow(id: number, sender: sender, receiver: receiver, writer: writer)
  }

  func end(of endpoint: Endpoint) -> End { flow.end(of: endpoint) }

  mutating func learn(process: UInt64, at end: End) { flow.learn(process: process, at: end) }

  /// Whether an end has sent anything.
  func hasSeen(_ end: End) -> Bool { end == .first || isAnswered }

  /// Counts bytes between the same ports that were of no connection.
  func refuse(_ bytes: UInt64) { flow.countLate(repeated: 0, refused: bytes) }

  /// What waits for missing bytes, in both directions.
  var heldBytes: Int { fromFirst.heldBytes + fromSecond.heldBytes }

  /// Changes the stream of what `end` sends; what it delivers goes out as sent by that end.
  private mutating func withStream(from end: End, _ body: (inout TCPStream, inout Flow) -> Void) {
    flow.sender = end
    if end == .first { body(&fromFirst, &flow) } else { body(&fromSecond, &flow) }
  }

  // MARK: Packets

  /// Whether a segment is of another connection between the same ports.
  func isForeign(_ segment: TCPSegment, from sender: End) -> Bool {
    if segment.isReset || (!segment.isSyn && segment.payloadLength == 0) { return false }
    return sender == .first
      ? isForeign(segment, to: fromFirst, fromSecond) : isForeign(segment, to: fromSecond, fromFirst)
  }

  private func isForeign(_ segment: TCPSegment, to own: borrowing TCPStream, _ other: borrowing TCPStream) -> Bool {
    guard segment.isSyn else { return own.isForeign(segment, isEnded: isEnded) }
    if let acknowledgement = segment.acknowledgement, !other.accepts(synAcknowledgedBy: acknowledgement) { return true }
    if own.isUnseen, flow.opener == nil {
      // What came so far was joined in the middle, unless it stood in the file before this handshake.
      guard let acknowledgement = segment.acknowledgement, !isEnded else { return true }
      return !other.canBegin(behindSyn: acknowledgement &- 1)
    }
    return !own.canBegin(behindSyn: segment.sequence) || (own.isUnseen && isEnded)
  }

  mutating func receive(_ segment: TCPSegment, from sender: End, time: UInt64, packet: UInt64) {
    lastPacket = packet
    if sender == .second { isAnswered = true }
    // What comes behind the end is a retransmission or a late acknowledgement, or was sent before its sender knew.
    guard !isEnded else {
      let (repeated, refused) = sender == .first ? fromFirst.late(segment) : fromSecond.late(segment)
      return flow.countLate(repeated: repeated, refused: refused)
    }
    packets += 1
    let moment = PacketMoment(packet: packets, time: time)
    if segment.isSyn { shakeHands(segment, from: sender) }
    // What a segment acknowledges came before what it carries.
    if let acknowledgement = segment.acknowledgement {
      let shift = sender == .first ? windowShifts.first : windowShifts.second
      // The window in a SYN is never shifted (RFC 7323, section 2.2). Where the shift is not known it may be the largest.
      let window =
        shift.map { Int64(segment.window) << (segment.isSyn ? 0 : $0) }
        ?? min(Int64(segment.window) << 14, OfflineLimits.usualWindowBytes)
      let isTaken =
        sender == .first ? fromFirst.takes(segment.payloadSequence) : fromSecond.takes(segment.payloadSequence)
      withStream(from: sender.opposite) {
        $0.acknowledge(acknowledgement, window: window, isTaken: isTaken, moment, to: &$1)
      }
    }
    if segment.isReset {
      guard
        sender == .first ? fromFirst.accepts(resetAt: segment.sequence) : fromSecond.accepts(resetAt: segment.sequence)
      else { return flow.countRefusedReset() }
      reset = (sender, time)
      withStream(from: sender) { $0.reset(at: segment.sequence, moment, to: &$1) }
    } else {
      withStream(from: sender) { $0.add(segment, moment, to: &$1) }
    }
    if reset != nil { endIfReset() }
    if fromFirst.isFinished && fromSecond.isFinished { end(reason: nil, time: time) }
  }

  /// A reset waits for the bytes before it, as a FIN does. Who has reset a connection sends nothing more: else it was forged.
  private mutating func endIfReset() {
    guard let (sender, time) = reset else { return }
    let (isBroken, isReset) =
      sender == .first ? (fromFirst.isBroken, fromFirst.isReset) : (fromSecond.isBroken, fromSecond.isReset)
    if isReset { end(reason: nil, time: time) }
    if !isBroken {
      reset = nil
      flow.countRefusedReset()
    }
  }

  private mutating func shakeHands(_ segment: TCPSegment, from sender: End) {
    // Only who answers acknowledges in its SYN (RFC 9293, section 3.5); of two that open at once the first is the client.
    if flow.opener == nil { flow.opener = segment.acknowledgement == nil ? sender : sender.opposite }
    fromFirst.isOpened = true
    fromSecond.isOpened = true
    if sender == .first { windowShifts.first = segment.windowShift } else { windowShifts.second = segment.windowShift }
    withStream(from: sender) { $0.begin(behindSyn: segment.sequence, to: &$1) }
  }

  // MARK: The end

  /// Gives up what is missing, so that nothing waits any more.
  mutating func release(time: UInt64) {
    for end in [End.first, .second] { withStream(from: end) { $0.release(time: time, to: &$1) } }
  }

  /// The capture ends, or the connection does: what waits goes out, with the gaps that are certain now. What its segments say
  /// of its end goes before `reason`.
  mutating func end(reason: String?, time: UInt64) {
    guard !isEnded else { return }
    isEnded = true
    for end in [End.first, .second] { withStream(from: end) { $0.finish(time: time, to: &$1) } }
    flow.finish(
      repeatedBytes: fromFirst.repeatedBytes + fromSecond.repeatedBytes,
      refusedBytes: fromFirst.refusedBytes + fromSecond.refusedBytes,
      contradictions: fromFirst.waiting.contradictions + fromSecond.waiting.contradictions)
    if let reset {
      flow.close(reason: "reset", time: reset.time)
    } else if let reason = fromFirst.isFinished && fromSecond.isFinished ? "closed" : reason {
      flow.close(reason: reason, time: time)
    }
  }
}
