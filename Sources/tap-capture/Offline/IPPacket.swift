// IPv4 (RFC 791) and IPv6 (RFC 8200) headers, down to the transport's bytes.

/// An IP packet, or a fragment of one.
struct IPPacket {
  let source: IPAddress
  let destination: IPAddress
  /// The protocol number of the payload (IPv6: of the last header that is understood).
  let transport: UInt8
  /// The captured part of the payload.
  let payload: PacketBytes
  /// The payload's length by the header, which is more than was captured if the packet was cut.
  let payloadLength: Int
  /// Set for a fragment.
  let fragment: Fragment?

  struct Fragment {
    let identification: UInt32
    /// In bytes.
    let offset: Int
    let hasMore: Bool
  }

  /// Nil where the bytes are no IP packet, or not enough of one was captured. `wireBytes` is what there was on the wire from
  /// the IP header on.
  init?(_ bytes: PacketBytes, wireBytes: Int) {
    switch bytes.byte(at: 0).map({ $0 >> 4 }) {
    case 4: self.init(version4: bytes, wireBytes: wireBytes)
    case 6: self.init(version6: bytes, wireBytes: wireBytes)
    default: return nil
    }
  }

  private init?(version4 bytes: PacketBytes, wireBytes: Int) {
    guard let first = bytes.byte(at: 0), let total = bytes.uint16(at: 2), let identification = bytes.uint16(at: 4),
      let flagsAndOffset = bytes.uint16(at: 6), let transport = bytes.byte(at: 9), let from = bytes.uint32(at: 12),
      let to = bytes.uint32(at: 16)
    else { return nil }
    let headerBytes = Int(first & 0x0f) * 4
    // A total length of 0: the network card was to split the packet (TCP segmentation offload), which was captured whole.
    let totalBytes = total == 0 ? wireBytes : Int(total)
    guard headerBytes >= 20, totalBytes >= headerBytes, bytes.count >= headerBytes else { return nil }
    source = IPAddress(version4: from)
    destination = IPAddress(version4: to)
    self.transport = transport
    payloadLength = totalBytes - headerBytes
    payload = bytes.dropping(headerBytes).prefix(payloadLength)
    let hasMore = flagsAndOffset & 0x2000 != 0
    let offset = Int(flagsAndOffset & 0x1fff) * 8
    fragment =
      hasMore || offset > 0
      ? Fragment(identification: UInt32(identification), offset: offset, hasMore: hasMore) : nil
  }

  private init?(version6 bytes: PacketBytes, wireBytes: Int) {
    guard let length = bytes.uint16(at: 4), var next = bytes.byte(at: 6), bytes.count >= 40 else { return nil }
    guard let sourceHigh = bytes.uint64(at: 8), let sourceLow = bytes.uint64(at: 16),
      let destinationHigh = bytes.uint64(at: 24), let destinationLow = bytes.uint64(at: 32)
    else { return nil }
    source = IPAddress(high: sourceHigh, low: sourceLow)
    destination = IPAddress(high: destinationHigh, low: destinationLow)
    // 0: a jumbogram (RFC 2675) or segmentation offload.
    let totalBytes = length == 0 ? wireBytes : 40 + Int(length)
    var position = 40
    var found: Fragment?
    guard IPPacket.passExtensions(in: bytes, &next, &position) else { return nil }
    while next == IPPacket.fragmentHeader, found == nil {
      guard let following = bytes.byte(at: position), let word = bytes.uint16(at: position + 2),
        let identification = bytes.uint32(at: position + 4)
      else { return nil }
      next = following
      position += 8
      let fragment = Fragment(identification: identification, offset: Int(word & 0xfff8), hasMore: word & 1 != 0)
      if fragment.offset > 0 || fragment.hasMore {
        // The headers that follow are a part of what was fragmented (RFC 8200, section 4.5).
        found = fragment
      } else {
        // An "atomic" fragment is a whole packet (RFC 6946).
        guard IPPacket.passExtensions(in: bytes, &next, &position) else { return nil }
      }
    }
    guard totalBytes >= position else { return nil }
    transport = next
    payloadLength = totalBytes - position
    payload = bytes.dropping(position).prefix(payloadLength)
    fragment = found
  }

  // MARK: Extension headers

  private static let fragmentHeader: UInt8 = 44

  /// Hop-by-hop options, routing, destination options, mobility, and the authentication header (RFC 4302).
  private static func isExtension(_ header: UInt8) -> Bool { [0, 43, 60, 135, 51].contains(header) }

  /// Whether extension headers stand in the payload of a fragment.
  var hasExtensions: Bool { source.isIPv6 && IPPacket.isExtension(transport) }

  /// Steps over extension headers (RFC 8200, section 4): each says how long it is, so the walk always advances. False where
  /// they are not whole.
  private static func passExtensions(in bytes: PacketBytes, _ next: inout UInt8, _ position: inout Int) -> Bool {
    while isExtension(next) {
      guard let following = bytes.byte(at: position), let units = bytes.byte(at: position + 1) else { return false }
      // The authentication header's length counts 4-byte units.
      position += next == 51 ? (Int(units) + 2) * 4 : 8 + Int(units) * 8
      next = following
    }
    return true
  }

  /// The transport's number and bytes in the payload of a packet that was put together from fragments, `first` being the
  /// number of the first header in it; nil where the headers are not whole.
  static func transport(_ first: UInt8, in payload: PacketBytes, of packet: IPPacket) -> (UInt8, PacketBytes)? {
    guard packet.source.isIPv6 else { return (first, payload) }
    var next = first
    var position = 0
    return passExtensions(in: payload, &next, &position) ? (next, payload.dropping(position)) : nil
  }
}
