// One direction of a TCP connection, put in order: what came twice is dropped, what never came becomes a gap.
import TapWire

/// What reassembly tells of a stream, in order of its offsets.
protocol TCPStreamSink: ~Copyable {
  mutating func deliver(_ bytes: UnsafeRawBufferPointer, offset: UInt64, time: UInt64)
  mutating func miss(_ length: UInt64, offset: UInt64, time: UInt64, reason: GapFrame.Reason)
}

/// Reassembles the bytes of one direction from its segments.
struct TCPStream {
  /// Segments that wait for an earlier one, in number and bytes; beyond it the missing bytes are given up as a gap.
  static let maximumPendingSegments = 1024
  static let maximumPendingBytes = 4 << 20
  /// Packets of the connection after which bytes that the peer acknowledged, but that were not captured, are given up.
  /// A capture can show an acknowledgement before its data, but not for long.
  static let patiencePackets = 64

  /// A segment's bytes at their place in the stream; the last `cutBytes` of them were not captured.
  private struct Piece {
    var offset: UInt64
    var bytes: [UInt8]
    var cutBytes: Int
    var time: UInt64

    var end: UInt64 { offset + UInt64(bytes.count + cutBytes) }
  }

  /// Stream offset of the next byte, and its sequence number; nil until the first segment.
  private(set) var offset: UInt64 = 0
  private var sequence: UInt32?
  /// In order of their offsets.
  private var pending: [Piece] = []
  private(set) var pendingBytes = 0
  /// How far the peer has acknowledged, and since which packet that is beyond `offset`.
  private var acknowledged: UInt64 = 0
  private var waitingSincePacket: UInt64?
  private var finOffset: UInt64?
  /// Bytes that came a second time, or too late.
  private(set) var repeatedBytes: UInt64 = 0

  /// Whether the sender has ended this direction and everything before that was delivered.
  var isFinished: Bool { finOffset.map { offset >= $0 } ?? false }
  var hasBegun: Bool { sequence != nil }
  /// The sequence number that begins the stream, where the handshake told it.
  private(set) var initialSequence: UInt32?

  /// The handshake says where the stream begins: behind the SYN, which takes one sequence number.
  mutating func begin(behindSyn synSequence: UInt32) {
    guard sequence == nil else { return }
    initialSequence = synSequence
    sequence = synSequence &+ 1
  }

  mutating func add(_ segment: TCPSegment, time: UInt64, packet: UInt64, to sink: inout some TCPStreamSink & ~Copyable)
  {
    let first = segment.isSyn ? segment.sequence &+ 1 : segment.sequence
    if segment.isReset { return }
    if sequence == nil {
      guard segment.payloadLength > 0 else { return }
      sequence = first
    }
    guard let start = place(first) else { return }
    // A FIN of a segment that lies wholly in the past is a retransmission.
    if segment.isFin { finOffset = start >= 0 ? UInt64(start) + UInt64(segment.payloadLength) : finOffset }
    if segment.payloadLength > 0 { add(segment, at: start, time: time, to: &sink) }
    giveUpIfHopeless(packet: packet, time: time, to: &sink)
  }

  /// The stream offset of a sequence number: the one nearest to the next byte (RFC 9293, section 3.4: modulo 2^32).
  private func place(_ number: UInt32) -> Int64? {
    guard let sequence else { return nil }
    return Int64(offset) + Int64(Int32(bitPattern: number &- sequence))
  }

  private mutating func add(
    _ segment: TCPSegment, at start: Int64, time: UInt64, to sink: inout some TCPStreamSink & ~Copyable
  ) {
    let past = Int64(offset) - start
    let cutBytes = segment.payloadLength - segment.payload.count
    if past >= Int64(segment.payloadLength) {
      repeatedBytes += UInt64(segment.payloadLength)
    } else if past >= 0 {
      repeatedBytes += UInt64(past)
      let fresh = UnsafeRawBufferPointer(rebasing: segment.payload.dropFirst(Int(past)))
      deliver(fresh, cutBytes: segment.payloadLength - Int(past) - fresh.count, time: time, to: &sink)
      deliverPending(to: &sink)
    } else {
      keep(Piece(offset: UInt64(start), bytes: Array(segment.payload), cutBytes: cutBytes, time: time))
    }
  }

  private mutating func deliver(
    _ bytes: UnsafeRawBufferPointer, cutBytes: Int, time: UInt64, to sink: inout some TCPStreamSink & ~Copyable
  ) {
    if !bytes.isEmpty { sink.deliver(bytes, offset: offset, time: time) }
    advance(UInt64(bytes.count))
    if cutBytes > 0 {
      sink.miss(UInt64(cutBytes), offset: offset, time: time, reason: .truncated)
      advance(UInt64(cutBytes))
    }
  }

  private mutating func advance(_ length: UInt64) {
    offset += length
    sequence = sequence.map { $0 &+ UInt32(truncatingIfNeeded: length) }
    waitingSincePacket = nil
  }

  private mutating func keep(_ piece: Piece) {
    // Nearly always behind all others.
    var index = pending.count
    while index > 0, pending[index - 1].offset > piece.offset { index -= 1 }
    pending.insert(piece, at: index)
    pendingBytes += piece.bytes.count
  }

  private mutating func deliverPending(to sink: inout some TCPStreamSink & ~Copyable) {
    var used = 0
    while used < pending.count, pending[used].offset <= offset {
      let piece = pending[used]
      used += 1
      pendingBytes -= piece.bytes.count
      let past = Int(min(offset - piece.offset, UInt64(piece.bytes.count + piece.cutBytes)))
      repeatedBytes += UInt64(past)
      guard piece.end > offset else { continue }
      piece.bytes.withUnsafeBytes {
        let fresh = UnsafeRawBufferPointer(rebasing: $0.dropFirst(past))
        deliver(fresh, cutBytes: Int(piece.end - offset) - fresh.count, time: piece.time, to: &sink)
      }
    }
    pending.removeFirst(used)
  }

  /// The peer has received everything before `number`: what was not captured of it will not come.
  mutating func acknowledge(
    _ number: UInt32, packet: UInt64, time: UInt64, to sink: inout some TCPStreamSink & ~Copyable
  ) {
    guard let place = place(number), place >= 0 else { return }
    // The acknowledgement of a FIN counts one more than the stream has.
    acknowledged = max(acknowledged, min(UInt64(place), finOffset ?? .max))
    giveUpIfHopeless(packet: packet, time: time, to: &sink)
  }

  private mutating func giveUpIfHopeless(packet: UInt64, time: UInt64, to sink: inout some TCPStreamSink & ~Copyable) {
    if pending.count > TCPStream.maximumPendingSegments || pendingBytes > TCPStream.maximumPendingBytes {
      skip(to: pending[0].offset, time: time, to: &sink)
    }
    guard acknowledged > offset else { return }
    let since = waitingSincePacket ?? packet
    waitingSincePacket = since
    if packet - since >= UInt64(TCPStream.patiencePackets) {
      skip(to: min(acknowledged, pending.first?.offset ?? .max), time: time, to: &sink)
    }
  }

  private mutating func skip(to target: UInt64, time: UInt64, to sink: inout some TCPStreamSink & ~Copyable) {
    guard target > offset else { return }
    sink.miss(target - offset, offset: offset, time: time, reason: .notCaptured)
    advance(target - offset)
    deliverPending(to: &sink)
  }

  /// Nothing more comes: what waits goes out with the gaps before it, and the end that the peer or a FIN told is reached.
  mutating func finish(time: UInt64, to sink: inout some TCPStreamSink & ~Copyable) {
    while let next = pending.first { skip(to: max(next.offset, offset + 1), time: time, to: &sink) }
    skip(to: max(acknowledged, finOffset ?? 0), time: time, to: &sink)
  }
}
