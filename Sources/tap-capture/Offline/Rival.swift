// Another connection between the ports of one that is open: believed when it is answered, since a stray segment looks the same.

/// A TCP segment with the ends and the moment at which it stood in the file.
struct Packet {
  let segment: TCPSegment
  let sender: Endpoint
  let receiver: Endpoint
  let time: UInt64
  let number: UInt64
  /// The ids of the processes that the file names at the ends of this packet.
  let processes: (sender: UInt64?, receiver: UInt64?)
}

/// Segments that are not of the open connection.
///
/// A host that knows of no other connection does not acknowledge them: it drops old and forged ones, and answers a SYN with
/// what it expects (RFC 9293, section 3.10.7.4, fourth).
struct Rival {
  private var packets: [(packet: Packet, payload: [UInt8])] = []
  private(set) var heldBytes = 0
  /// The sequence numbers of the first segment and behind the last.
  private let sequence: UInt32
  private var length: UInt32 = 0

  init(_ packet: Packet) {
    sequence = packet.segment.sequence
    add(packet)
  }

  private var first: Packet? { packets.first?.packet }
  /// So many segments are no strays. The file lacks the other direction.
  var isFull: Bool { packets.count >= OfflineLimits.rivalSegments }
  var payloadBytes: UInt64 { packets.reduce(0) { $0 + UInt64($1.packet.segment.payloadLength) } }

  /// Whether a segment goes on where these are.
  func isContinued(by packet: Packet) -> Bool {
    guard let first, packet.sender == first.sender else { return false }
    let ahead = packet.segment.sequence &- sequence
    // A SYN with another number is of yet another connection.
    return packet.segment.isSyn ? ahead == 0 : ahead <= UInt32(OfflineLimits.lateBytes)
  }

  /// Whether the other end acknowledges them.
  func isAnswered(by packet: Packet) -> Bool {
    guard let first, packet.sender != first.sender, let acknowledgement = packet.segment.acknowledgement else {
      return false
    }
    let ahead = acknowledgement &- sequence
    // A SYN alone is answered by a SYN or a reset.
    return ahead > 0 && ahead <= length
      && (length > 1 || !first.segment.isSyn || packet.segment.isSyn || packet.segment.isReset)
  }

  mutating func add(_ packet: Packet) {
    let payload = Array(packet.segment.payload)
    packets.append((packet, payload))
    heldBytes += payload.count + OfflineLimits.segmentOverheadBytes
    length = max(length, packet.segment.sequence &- sequence &+ packet.segment.sequenceLength)
  }

  /// The segments in their order.
  func replay(_ body: (Packet) -> Void) {
    for (packet, payload) in packets {
      payload.withUnsafeBytes {
        body(
          Packet(
            segment: packet.segment.with(payload: $0), sender: packet.sender, receiver: packet.receiver,
            time: packet.time,
            number: packet.number, processes: packet.processes))
      }
    }
  }
}
