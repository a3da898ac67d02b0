// A TCP segment (RFC 9293, section 3.1).

/// The header fields that reassembly needs, and the payload.
struct TCPSegment {
  let sourcePort: UInt16
  let destinationPort: UInt16
  let sequence: UInt32
  let acknowledgement: UInt32?
  let isSyn: Bool
  let isFin: Bool
  let isReset: Bool
  /// The captured part of the payload.
  let payload: UnsafeRawBufferPointer
  /// The payload's real length.
  let payloadLength: Int

  /// `length` is the segment's real length, of which `bytes` were captured. Nil where the header is not whole.
  init?(_ bytes: PacketBytes, length: Int) {
    guard let source = bytes.uint16(at: 0), let destination = bytes.uint16(at: 2), let sequence = bytes.uint32(at: 4),
      let acknowledgement = bytes.uint32(at: 8), let offset = bytes.byte(at: 12), let flags = bytes.byte(at: 13)
    else { return nil }
    let headerBytes = Int(offset >> 4) * 4
    guard headerBytes >= 20, length >= headerBytes else { return nil }
    sourcePort = source
    destinationPort = destination
    self.sequence = sequence
    self.acknowledgement = flags & 0x10 != 0 ? acknowledgement : nil
    isFin = flags & 0x01 != 0
    isSyn = flags & 0x02 != 0
    isReset = flags & 0x04 != 0
    payloadLength = length - headerBytes
    payload = bytes.dropping(headerBytes).prefix(payloadLength).bytes
  }
}
