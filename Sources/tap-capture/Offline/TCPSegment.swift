// A TCP segment (RFC 9293, section 3.1).

/// The header fields that reassembly needs, and the payload.
struct TCPSegment {
  let sourcePort: UInt16
  let destinationPort: UInt16
  let sequence: UInt32
  let acknowledgement: UInt32?
  /// As it stands in the header, to be shifted by what the sender's SYN said.
  let window: UInt16
  let isSyn: Bool
  let isFin: Bool
  let isReset: Bool
  /// The window scale that a SYN announces (RFC 7323, section 2.2), 0 where it announces none; nil in other segments.
  let windowShift: Int?
  /// The captured part of the payload.
  private(set) var payload: UnsafeRawBufferPointer
  /// The payload's real length.
  let payloadLength: Int

  /// The sequence number of the payload's first byte: a SYN takes one.
  var payloadSequence: UInt32 { isSyn ? sequence &+ 1 : sequence }

  /// How many sequence numbers it takes (RFC 9293, section 3.4: SYN and FIN count).
  var sequenceLength: UInt32 {
    UInt32(truncatingIfNeeded: payloadLength) &+ (isSyn ? 1 : 0) &+ (isFin ? 1 : 0)
  }

  /// The same segment with its payload elsewhere.
  func with(payload: UnsafeRawBufferPointer) -> TCPSegment {
    var copy = self
    copy.payload = payload
    return copy
  }

  /// `length` is the segment's real length, of which `bytes` were captured. Nil where the header is not whole.
  init?(_ bytes: PacketBytes, length: Int) {
    guard let source = bytes.uint16(at: 0), let destination = bytes.uint16(at: 2), let sequence = bytes.uint32(at: 4),
      let acknowledgement = bytes.uint32(at: 8), let offset = bytes.byte(at: 12), let flags = bytes.byte(at: 13),
      let window = bytes.uint16(at: 14)
    else { return nil }
    let headerBytes = Int(offset >> 4) * 4
    guard headerBytes >= 20, length >= headerBytes else { return nil }
    sourcePort = source
    destinationPort = destination
    self.sequence = sequence
    self.acknowledgement = flags & 0x10 != 0 ? acknowledgement : nil
    self.window = window
    isFin = flags & 0x01 != 0
    isSyn = flags & 0x02 != 0
    isReset = flags & 0x04 != 0
    windowShift = isSyn ? TCPSegment.windowShift(in: bytes.prefix(headerBytes)) : nil
    payloadLength = length - headerBytes
    payload = bytes.dropping(headerBytes).prefix(payloadLength).bytes
  }

  private static func windowShift(in header: PacketBytes) -> Int {
    var position = 20
    while let kind = header.byte(at: position), kind != 0 {
      if kind == 1 {
        position += 1
        continue
      }
      guard let length = header.byte(at: position + 1), length >= 2 else { break }
      // A shift above 14 counts as 14 (RFC 7323, section 2.3).
      if kind == 3, length == 3, let shift = header.byte(at: position + 2) { return min(Int(shift), 14) }
      position += Int(length)
    }
    return 0
  }
}
