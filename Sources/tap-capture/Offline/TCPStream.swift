// One direction of a TCP connection, put in order: what came twice is dropped, what never came becomes a gap.
import TapWire

/// What reassembly tells of a stream, in order of its offsets.
protocol TCPStreamSink {
  mutating func deliver(_ bytes: UnsafeRawBufferPointer, offset: UInt64, time: UInt64)
  mutating func miss(_ length: UInt64, offset: UInt64, time: UInt64, reason: GapFrame.Reason)
}

/// When a packet came: the number of packets of the connection so far, and nanoseconds of the capture's clock.
struct PacketMoment {
  let packet: UInt64
  let time: UInt64

  /// Whether more than either has passed since.
  func isPast(packets: UInt64, nanoseconds: UInt64, since earlier: PacketMoment) -> Bool {
    // Packets can stand out of order in a file, and times with them.
    packet - earlier.packet >= packets || (time > earlier.time && time - earlier.time >= nanoseconds)
  }
}

/// Reassembles the bytes of one direction from its segments.
///
/// Positions count the bytes from the first segment that was seen. Where the stream begins is known from its SYN, or else
/// is the lowest position that comes within a short wait, since the first packets of a file can stand out of order too.
struct TCPStream {
  private enum Beginning {
    case unseen
    /// Segments wait for the SYN, or for one that may come before them.
    case tentative(since: PacketMoment)
    case settled
  }

  private var beginning = Beginning.unseen
  /// The next byte: its position, and its sequence number. Offsets count from `origin`.
  private var next: Int64 = 0
  private var sequence: UInt32 = 0
  private var origin: Int64 = 0
  private(set) var waiting = WaitingSegments()
  /// Segments that no receiver would take, as far as the window is known. They are used where a gap would be, since it may be
  /// the capture that lacks what came between.
  private(set) var doubtful = WaitingSegments()
  /// How far the bytes reach that are believed, what waits included, and how much further the sender may go.
  private var window = SendWindow()
  /// How far the peer has acknowledged, and since when that is beyond the next byte.
  private var acknowledged: Int64 = 0
  private var acknowledgedSince: PacketMoment?
  /// Since when segments wait behind a hole.
  private var holeSince: PacketMoment?
  /// Where the sender says that it ends, by a FIN. A FIN beyond the window is not believed until the window comes to it.
  private var fin: Int64?
  /// Where the sender has reset the connection.
  private var resetPosition: Int64?
  /// The lowest position that was acknowledged before the stream is settled, where its connection was seen to open.
  private var opening: Int64?
  /// Whether a SYN of either end was seen: then nothing moved before the first acknowledgement.
  var isOpened = false
  private var latestTime: UInt64 = 0
  private var repeatedSegmentBytes: UInt64 = 0
  /// Bytes that no receiver would take.
  private(set) var refusedBytes: UInt64 = 0
  /// The sequence number of the SYN, where the handshake told it.
  private(set) var synSequence: UInt32?

  /// Whether the sender has ended this direction and everything before that was delivered.
  var isFinished: Bool { isSettled && fin.map { next >= $0 } ?? false }
  /// Whether a reset is still believed, and whether everything before it was delivered.
  var isBroken: Bool { resetPosition != nil }
  var isReset: Bool { resetPosition.map { next >= min($0, fin ?? $0) } ?? false }
  /// Bytes that came a second time, or too late.
  var repeatedBytes: UInt64 { repeatedSegmentBytes + waiting.repeatedBytes + doubtful.repeatedBytes }
  var heldBytes: Int { waiting.heldBytes + doubtful.heldBytes }

  var isUnseen: Bool { if case .unseen = beginning { true } else { false } }
  private var isSettled: Bool { if case .settled = beginning { true } else { false } }

  // MARK: The beginning

  /// The handshake says where the stream begins: behind the SYN, which takes one sequence number.
  mutating func begin(behindSyn syn: UInt32, to sink: inout some TCPStreamSink) {
    switch beginning {
    case .unseen: sequence = syn &+ 1
    case .tentative: move(to: place(syn &+ 1))
    case .settled: return
    }
    synSequence = syn
    origin = next
    beginning = .settled
    doubtWhatIsFar()
    deliverWaiting(to: &sink)
  }

  /// Whether a SYN that comes now can be the one before the segments that are here.
  func canBegin(behindSyn syn: UInt32) -> Bool {
    switch beginning {
    case .unseen: return true
    case .tentative:
      let ahead = lowest - place(syn &+ 1)
      return ahead >= 0 && ahead < OfflineLimits.waitingBytes
    case .settled: return synSequence == syn
    }
  }

  /// Segments that came before it was known where the stream begins.
  private mutating func doubtWhatIsFar() {
    for segment in waiting.segments {
      guard segment.position <= windowEnd else {
        for far in waiting.take(segment.position...(.max)) { doubtful.insert(far) }
        return
      }
      window.reach = max(window.reach, segment.end)
    }
  }

  private var lowest: Int64 { min(waiting.first?.position ?? .max, min(fin ?? .max, opening ?? .max)) }

  private mutating func expect(_ first: UInt32, _ moment: PacketMoment) {
    sequence = first
    beginning = .tentative(since: moment)
    acknowledged = .min
  }

  private mutating func settle(to sink: inout some TCPStreamSink) {
    leaveOutStrays()
    move(to: lowest)
    origin = next
    beginning = .settled
    doubtWhatIsFar()
    deliverWaiting(to: &sink)
  }

  /// Where nothing tells where the stream begins, it is where most of its first segments are, and not where a stray one is.
  private mutating func leaveOutStrays() {
    guard let middle = waiting.middle?.position, middle - lowest > OfflineLimits.lateBytes else { return }
    let nearest = middle - OfflineLimits.lateBytes
    if let fin, fin < nearest { self.fin = nil }
    if let opening, opening < nearest { self.opening = nil }
    refuse(waiting.take(.min...(nearest - 1)))
  }

  private mutating func move(to position: Int64) {
    sequence = sequence &+ UInt32(truncatingIfNeeded: position - next)
    next = position
    acknowledged = max(acknowledged, position)
    acknowledgedSince = nil
  }

  // MARK: Segments

  /// The position of a sequence number: the one nearest to the next byte (RFC 9293, section 3.4: modulo 2^32).
  private func place(_ number: UInt32) -> Int64 { next + Int64(Int32(bitPattern: number &- sequence)) }

  /// Whether a segment is of another connection between the same ports: it lies further away than a window reaches. Of a
  /// connection that has ended only what is late may come: nothing behind the end.
  func isForeign(_ segment: TCPSegment, isEnded: Bool) -> Bool {
    guard isSettled else { return false }
    let position = place(segment.payloadSequence)
    guard isEnded else { return abs(position - next) > OfflineLimits.windowBytes }
    return position > fin ?? next + window.dataBytes || position < next - OfflineLimits.lateBytes
  }

  /// Where a receiver's window ends, as far as the file tells it.
  private var windowEnd: Int64 { max(next, acknowledged, window.reach) + window.dataBytes }

  /// The same for what only says that there are bytes. From a SYN on the sender may send what its peer has room for, which is
  /// nothing before the peer has said so.
  private var promiseEnd: Int64 {
    max(next, acknowledged, window.reach) + (window.bytes ?? (synSequence == nil ? OfflineLimits.windowBytes : 0))
  }

  /// Whether a receiver would take a segment with this sequence number (RFC 9293, section 3.10.7.4, first), or knows it as an
  /// old one.
  func takes(_ number: UInt32) -> Bool {
    guard isSettled else { return true }
    let position = place(number)
    return position <= windowEnd && position >= next - OfflineLimits.lateBytes
  }

  /// Whether a receiver would believe this reset (RFC 9293, section 3.10.7.4, second: the sequence number lies in the window).
  func accepts(resetAt number: UInt32) -> Bool {
    guard isSettled else { return true }
    let position = place(number)
    return position >= acknowledged && position <= promiseEnd
  }

  /// The sender has reset the connection there. A capture can show that before the last bytes.
  mutating func reset(at number: UInt32, _ moment: PacketMoment, to sink: inout some TCPStreamSink) {
    resetPosition = isSettled ? max(next, place(number)) : .min
    giveUpIfHopeless(moment, to: &sink)
  }

  /// Of what comes behind the end of the connection: bytes that came before, and others.
  func late(_ segment: TCPSegment) -> (repeated: UInt64, refused: UInt64) {
    let length = Int64(segment.payloadLength)
    let repeated = isSettled ? min(max(next - place(segment.payloadSequence), 0), length) : 0
    return (UInt64(repeated), UInt64(length - repeated))
  }

  /// Whether this acknowledges the SYN, with as much of its data as the peer liked (RFC 9293, section 3.10.7.3, first;
  /// RFC 7413): anything else answers another SYN.
  func accepts(synAcknowledgedBy number: UInt32) -> Bool {
    guard synSequence != nil else { return true }
    let position = place(number)
    return position >= origin && position <= max(next, window.reach)
  }

  mutating func add(_ segment: TCPSegment, _ moment: PacketMoment, to sink: inout some TCPStreamSink) {
    if isUnseen {
      guard segment.payloadLength > 0 || segment.isFin else { return }
      expect(segment.payloadSequence, moment)
    }
    let start = place(segment.payloadSequence)
    let end = start + Int64(segment.payloadLength)
    if isSettled, start > promiseEnd {
      if let position = window.acknowledgement(for: start) {
        acknowledged = max(acknowledged, position)
      } else if start > windowEnd {
        if segment.isFin, fin ?? .max > windowEnd { fin = end }
        doubt(segment, at: start, moment.time)
        return
      }
    } else {
      window.send(to: end)
      // The sender is here, so what lies beyond the window was not its own.
      if doubtful.first != nil, isSettled { refuse(doubtful.take((windowEnd + 1)...(.max))) }
    }
    // A FIN that lies in the past is a retransmission's. Its acknowledgement, which may stand before it, is not of a byte.
    // Of two FINs the later one is a stray: it would have been the last.
    if segment.isFin, end < fin ?? .max, end >= next || !isSettled {
      fin = end
      acknowledged = min(acknowledged, max(end, next))
    }
    if segment.payloadLength > 0 { take(segment, at: start, moment.time, to: &sink) }
    giveUpIfHopeless(moment, to: &sink)
  }

  private mutating func take(_ segment: TCPSegment, at start: Int64, _ time: UInt64, to sink: inout some TCPStreamSink)
  {
    let end = start + Int64(segment.payloadLength)
    if let position = fin, end > position {
      // There is nothing behind a FIN (RFC 9293, section 3.10.7.4, seventh): either of the two is a stray segment's.
      if start >= position { return doubt(segment, at: start, time) }
      fin = nil
    }
    if let position = resetPosition, end > position { resetPosition = nil }
    place(segment, at: start, time, to: &sink)
  }

  private mutating func doubt(_ segment: TCPSegment, at start: Int64, _ time: UInt64) {
    guard segment.payloadLength > 0 else { return }
    // So many segments are no strays. The file lacks the other direction.
    if doubtful.isFull { believe(doubtful.take(.min...(.max))) }
    doubtful.insert(
      segment.payload, cutBytes: segment.payloadLength - segment.payload.count, at: start, time: time)
  }

  private mutating func believe(_ segments: [WaitingSegment]) {
    for segment in segments {
      window.reach = max(window.reach, segment.end)
      if segment.end > next { waiting.insert(segment) } else { refuse([segment]) }
    }
  }

  private mutating func refuse(_ segments: [WaitingSegment]) {
    for segment in segments { refusedBytes += UInt64(segment.end - segment.position) }
  }

  private mutating func place(_ segment: TCPSegment, at start: Int64, _ time: UInt64, to sink: inout some TCPStreamSink)
  {
    let cutBytes = segment.payloadLength - segment.payload.count
    let past = next - start
    guard isSettled, past >= 0 else {
      waiting.insert(segment.payload, cutBytes: cutBytes, at: start, time: time)
      return
    }
    guard past < Int64(segment.payloadLength) else {
      // Keep-alive probes come here too (RFC 9293, section 3.8.4).
      repeatedSegmentBytes += UInt64(segment.payloadLength)
      return
    }
    repeatedSegmentBytes += UInt64(past)
    let fresh = UnsafeRawBufferPointer(rebasing: segment.payload.dropFirst(Int(past)))
    if waiting.first != nil { waiting.compare(fresh, at: next) }
    deliver(fresh, cutBytes: segment.payloadLength - Int(past) - fresh.count, time, to: &sink)
    deliverWaiting(to: &sink)
  }

  private mutating func deliver(
    _ bytes: UnsafeRawBufferPointer, cutBytes: Int, _ time: UInt64, to sink: inout some TCPStreamSink
  ) {
    // Bytes that waited reach the process when the hole before them is filled.
    latestTime = max(latestTime, time)
    if !bytes.isEmpty { sink.deliver(bytes, offset: UInt64(next - origin), time: latestTime) }
    advance(bytes.count)
    if cutBytes > 0 {
      sink.miss(UInt64(cutBytes), offset: UInt64(next - origin), time: latestTime, reason: .truncated)
      advance(cutBytes)
    }
  }

  private mutating func advance(_ length: Int) {
    next += Int64(length)
    sequence = sequence &+ UInt32(truncatingIfNeeded: length)
    acknowledgedSince = nil
    holeSince = nil
  }

  private mutating func deliverWaiting(to sink: inout some TCPStreamSink) {
    for segment in waiting.takeReady(from: next) {
      let past = Int(min(next, segment.end) - segment.position)
      repeatedSegmentBytes += UInt64(past)
      guard segment.end > next else { continue }
      segment.bytes.withUnsafeBytes {
        let fresh = UnsafeRawBufferPointer(rebasing: $0.dropFirst(past))
        deliver(fresh, cutBytes: Int(segment.end - next) - fresh.count, segment.time, to: &sink)
      }
    }
  }

  // MARK: What does not come

  /// The peer has received everything before `number` and has room for `bytes` more. `isTaken` says whether the sequence
  /// number of its segment is acceptable too.
  mutating func acknowledge(
    _ number: UInt32, window bytes: Int64, isTaken: Bool, _ moment: PacketMoment, to sink: inout some TCPStreamSink
  ) {
    if isUnseen {
      window.bytes = bytes
      guard isOpened else { return }
      expect(number, moment)
    }
    let position = place(number)
    if isSettled {
      // What was never sent cannot be acknowledged: the segment is dropped (RFC 9293, section 3.10.7.4, fifth; in SYN-SENT
      // section 3.10.7.3, first). So does a host that knows of an earlier connection only (section 3.5.1).
      guard isTaken && position <= promiseEnd || window.isSent(position) else { return }
    } else {
      guard position - next <= OfflineLimits.windowBytes else { return }
      if isOpened { opening = min(opening ?? position, position) }
    }
    // An older acknowledgement says nothing of the window (RFC 9293, section 3.10.7.4, fifth).
    window.acknowledge(room: position >= acknowledged ? bytes : nil)
    // The acknowledgement of a FIN counts one more than the stream has; of more, there was no FIN.
    if let end = fin, end <= windowEnd, position > end + 1 { fin = nil }
    acknowledged = max(acknowledged, min(position, fin ?? position))
    giveUpIfHopeless(moment, to: &sink)
  }

  /// How far bytes were sent for certain.
  private var promised: Int64 { max(acknowledged, min(resetPosition ?? .min, fin ?? .max)) }

  private mutating func giveUpIfHopeless(_ moment: PacketMoment, to sink: inout some TCPStreamSink) {
    if case .tentative(let since) = beginning {
      if waiting.isFull || isPast(moment, since, acknowledgedToo: true) { settle(to: &sink) } else { return }
    }
    if promised > next {
      let since = acknowledgedSince ?? moment
      acknowledgedSince = since
      if isPast(moment, since, acknowledgedToo: true) {
        skip(to: min(promised, waiting.first?.position ?? .max), moment.time, to: &sink)
      }
    }
    guard let first = waiting.first else { return }
    let since = holeSince ?? moment
    holeSince = since
    if waiting.isFull || isPast(moment, since, acknowledgedToo: false) {
      skip(to: first.position, moment.time, to: &sink)
    }
  }

  private func isPast(_ moment: PacketMoment, _ since: PacketMoment, acknowledgedToo: Bool) -> Bool {
    acknowledgedToo
      ? moment.isPast(
        packets: OfflineLimits.acknowledgedPatiencePackets,
        nanoseconds: OfflineLimits.acknowledgedPatienceNanoseconds, since: since)
      : moment.isPast(packets: .max, nanoseconds: OfflineLimits.missingPatienceNanoseconds, since: since)
  }

  private mutating func skip(to target: Int64, _ time: UInt64, to sink: inout some TCPStreamSink) {
    guard target > next else { return }
    if doubtful.first != nil { believe(doubtful.take(.min...(target - 1))) }
    while next < target {
      let end = min(target, waiting.first?.position ?? .max)
      if end > next {
        latestTime = max(latestTime, time)
        sink.miss(UInt64(end - next), offset: UInt64(next - origin), time: latestTime, reason: .notCaptured)
        advance(Int(end - next))
      }
      deliverWaiting(to: &sink)
    }
  }

  /// What waits goes out now, with the gaps before it.
  mutating func release(time: UInt64, to sink: inout some TCPStreamSink) {
    if isUnseen { return }
    if !isSettled { settle(to: &sink) }
    while let first = waiting.first { skip(to: first.position, time, to: &sink) }
    refuse(doubtful.take(.min...(.max)))
  }

  /// Nothing more comes: what waits goes out, and the end that the peer, a FIN or a reset told is reached.
  mutating func finish(time: UInt64, to sink: inout some TCPStreamSink) {
    if isUnseen { return }
    if !isSettled { settle(to: &sink) }
    while let first = waiting.first { skip(to: first.position, time, to: &sink) }
    skip(to: promised, time, to: &sink)
    if let end = fin, end > windowEnd { fin = nil }
    skip(to: fin ?? next, time, to: &sink)
    refuse(doubtful.take(.min...(.max)))
  }
}
