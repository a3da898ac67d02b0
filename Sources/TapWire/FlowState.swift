// One flow inside a decoder's stage: undecided, claimed or passed on, and where its byte streams stand.

/// What a stage keeps of a flow of which no data has come: a capture describes many that never say anything.
struct FlowOrigin {
  var role = Role.unknown
  /// Whether the capture saw the connection from its beginning.
  var isWhole = false
  var isInterleaved = false
  /// Whether a gap came before the first data.
  var hasLoss = false
  /// Four bytes, so that all of it takes eight.
  var connectionHash: UInt32 = 0

  mutating func update(_ flow: FlowFrame) {
    role = flow.role
    isWhole = !flow.isPreexisting
    isInterleaved = flow.isInterleaved
    connectionHash = flow.connectionHash
  }
}

/// What a decoder's stage knows of one flow.
///
/// Used by one thread, and references to it and to its decoder are not counted on the way of each frame.
final class FlowState {
  /// Set once claimed, and owned. Neither this nor `undecided`: the flow passes through.
  @exclusivity(unchecked) private(set) var decoder: Unmanaged<FlowDecoder>?
  /// Set from the first frame until the verdict.
  @exclusivity(unchecked) var undecided: UndecidedFlow?
  @exclusivity(unchecked) private var origin: FlowOrigin

  init(_ origin: FlowOrigin) {
    self.origin = origin
    undecided = UndecidedFlow(isJoined: !origin.isWhole || origin.hasLoss)
  }

  deinit { decoder?.release() }

  func claim(with decoder: FlowDecoder) { self.decoder = Unmanaged.passRetained(decoder) }

  /// What is known of the flow, if it is taken up again later.
  var originOfTheRest: FlowOrigin {
    var origin = origin
    origin.isWhole = false
    return origin
  }

  /// Hands data to the decoder as one continuous stream: what is missing is announced, what came already is dropped.
  /// Returns false where the flow has no decoder.
  func deliver(_ data: DataFrame, into output: inout Output) -> Bool {
    guard let decoder else { return false }
    return decoder._withUnsafeGuaranteedRef { decoder in
      if !decoder.receiveNext(data, into: &output) { deliverOutOfStep(data, to: decoder, into: &output) }
      return true
    }
  }

  func update(_ flow: FlowFrame) {
    origin.update(flow)
    decoder?.takeUnretainedValue().update(flow)
  }

  /// What `undecided` holds, with what is known of the flow.
  func evidence(_ undecided: UndecidedFlow, isFinal: Bool = false) -> FlowEvidence {
    undecided.evidence(of: origin, isFinal: isFinal)
  }

  func close(at time: UInt64?, into output: inout Output) {
    decoder?.takeUnretainedValue().close(at: time, into: &output)
  }

  /// Streams begin at 0; those of a connection that was open before the capture wherever their first byte is.
  private func firstOffset(_ seen: UInt64) -> UInt64 { origin.isWhole ? 0 : seen }

  private func expectedOffset(_ decoder: FlowDecoder, _ direction: Direction, seen: UInt64) -> UInt64 {
    decoder.next(direction) ?? firstOffset(seen)
  }

  @inline(never)
  private func deliverOutOfStep(_ data: DataFrame, to decoder: FlowDecoder, into output: inout Output) {
    let expected = expectedOffset(decoder, data.direction, seen: data.offset)
    if data.offset > expected {
      // The writer should have said so with a gap frame; the offsets say it all the same.
      decoder.lose(
        GapFrame(
          flow: data.flow, direction: data.direction, time: data.time, offset: expected,
          length: data.offset - expected, reason: .notCaptured), into: &output)
    }
    let end = data.offset &+ UInt64(data.bytes.count)
    guard end > expected || data.offset == expected else { return }
    var fresh = data
    if data.offset < expected {
      fresh.bytes = UnsafeRawBufferPointer(rebasing: data.bytes[Int(expected - data.offset)...])
      fresh.offset = expected
    }
    decoder.setNext(data.direction, end)
    decoder.receive(fresh, into: &output)
  }

  /// Hands a gap to the decoder, if there is one, less what the stream had already.
  func deliver(_ gap: GapFrame, into output: inout Output) {
    guard let decoder = decoder?.takeUnretainedValue() else { return }
    let expected = expectedOffset(decoder, gap.direction, seen: gap.offset)
    let end = gap.offset &+ gap.length
    guard end > expected else { return }
    decoder.setNext(gap.direction, end)
    // Also covers bytes before the gap that nobody mentioned.
    var missing = gap
    missing.offset = expected
    missing.length = end - expected
    decoder.lose(missing, into: &output)
  }
}

/// The flows used last, by the low bits of their ids. A capture counts its ids up, so that hardly two open flows share a
/// place: a flow is found without the search in a table, whose length is different for each and so mispredicted.
struct RecentFlows: ~Copyable {
  private static let capacity = 256
  private let slots: UnsafeMutablePointer<(id: UInt64, decoder: Unmanaged<FlowDecoder>?)>

  init() {
    slots = .allocate(capacity: RecentFlows.capacity)
    slots.initialize(repeating: (0, nil), count: RecentFlows.capacity)
  }

  deinit { slots.deallocate() }

  @inline(__always)
  private func slot(_ id: UInt64) -> UnsafeMutablePointer<(id: UInt64, decoder: Unmanaged<FlowDecoder>?)> {
    slots + (Int(truncatingIfNeeded: id) & (RecentFlows.capacity - 1))
  }

  /// The decoder of a flow that is among them.
  @inline(__always)
  subscript(id: UInt64) -> Unmanaged<FlowDecoder>? {
    let slot = slot(id)
    return slot.pointee.id == id ? slot.pointee.decoder : nil
  }

  mutating func note(_ id: UInt64, _ decoder: Unmanaged<FlowDecoder>) { slot(id).pointee = (id, decoder) }

  /// Must be called before the decoder of a flow is given up.
  mutating func forget(_ id: UInt64) {
    if slot(id).pointee.id == id { slot(id).pointee.decoder = nil }
  }
}

/// The frames of a flow that nobody has claimed yet.
final class UndecidedFlow {
  /// What a decoder may look at, per direction.
  static let evidenceBytes = 1024
  /// Held back per flow; beyond it the frames pass.
  static let maximumHeldBytes = 64 << 10

  /// Whole frames, one after the other.
  private(set) var held = ByteBuffer(capacityBytes: 256)
  private var sent = ByteBuffer(capacityBytes: 64)
  private var received = ByteBuffer(capacityBytes: 64)
  /// Whether there were bytes in front of the evidence, or are some missing.
  private var isJoined: Bool
  /// Set once more was held than may be: frames pass, the last one of each direction is looked at, and a claim begins with
  /// the frame that brings it.
  private(set) var isPassing = false

  init(isJoined: Bool) { self.isJoined = isJoined }

  func evidence(of origin: FlowOrigin, isFinal: Bool) -> FlowEvidence {
    FlowEvidence(
      role: origin.role, isInterleaved: origin.isInterleaved, isFromBeginning: !isJoined, isFinal: isFinal,
      connectionHash: origin.connectionHash, sent: sent.bytes, received: received.bytes)
  }

  /// The frames that were held are on their way.
  func pass() {
    held.removeAll()
    held.shrink(toCapacityBytes: 256)
    isJoined = true
    isPassing = true
  }

  func hold(_ frame: Frame, data: DataFrame) {
    held.append(frame.encoded)
    if data.direction == .sent {
      keep(data.bytes, in: &sent, isAnswered: !received.isEmpty)
    } else {
      keep(data.bytes, in: &received, isAnswered: !sent.isEmpty)
    }
  }

  func hold(_ frame: Frame, gap: GapFrame) {
    held.append(frame.encoded)
    // What stood before the gap was not enough; what stands behind it is no continuation. Judge that by itself.
    if gap.direction == .sent { sent.removeAll() } else { received.removeAll() }
    isJoined = true
  }

  /// `isAnswered`: the other direction has spoken, too.
  private func keep(_ bytes: UnsafeRawBufferPointer, in evidence: inout ByteBuffer, isAnswered: Bool) {
    // In the middle of a large value there is nothing to know; what comes behind it tells. The first bytes of a direction that
    // is alone are all that will ever tell of it.
    if isPassing || isJoined && isAnswered && evidence.count == Self.evidenceBytes { evidence.removeAll() }
    evidence.append(UnsafeRawBufferPointer(rebasing: bytes.prefix(Self.evidenceBytes - evidence.count)))
  }

  func forEachHeldFrame(_ body: (Frame) -> Void) {
    var rest = held.bytes
    while !rest.isEmpty {
      // These frames were read once already: they cannot fail now.
      var reader = CBORReader(rest, streamOffset: 0)
      guard let content = try? reader.readString() else { return }
      let encoded = UnsafeRawBufferPointer(rebasing: rest[..<(rest.count - reader.rest.count)])
      let headBytes = encoded.count - content.count
      guard let frame = try? Frame(encoded: encoded, headBytes: headBytes, streamOffset: 0) else { return }
      body(frame)
      rest = reader.rest
    }
  }
}
