// IPv4 (RFC 791) and IPv6 (RFC 8200) headers, down to the transport's bytes.

/// An address of either family, comparable and hashable: IPv4 as in RFC 4291's mapped form.
struct IPAddress: Hashable {
  let high: UInt64
  let low: UInt64
  let isIPv6: Bool
}

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

  /// Nil where the bytes are no IP packet, or not enough of one was captured.
  init?(_ bytes: PacketBytes) {
    switch bytes.byte(at: 0).map({ $0 >> 4 }) {
    case 4: self.init(version4: bytes)
    case 6: self.init(version6: bytes)
    default: return nil
    }
  }

  private init?(version4 bytes: PacketBytes) {
    guard let first = bytes.byte(at: 0), let total = bytes.uint16(at: 2), let identification = bytes.uint16(at: 4),
      let flagsAndOffset = bytes.uint16(at: 6), let transport = bytes.byte(at: 9), let from = bytes.uint32(at: 12),
      let to = bytes.uint32(at: 16)
    else { return nil }
    let headerBytes = Int(first & 0x0f) * 4
    // A total length of 0: the network card was to split the packet (TCP segmentation offload), which was captured whole.
    let totalBytes = total == 0 ? bytes.count : Int(total)
    guard headerBytes >= 20, totalBytes >= headerBytes, bytes.count >= headerBytes else { return nil }
    source = IPAddress(high: 0, low: 0xffff_0000_0000 | UInt64(from), isIPv6: false)
    destination = IPAddress(high: 0, low: 0xffff_0000_0000 | UInt64(to), isIPv6: false)
    self.transport = transport
    payloadLength = totalBytes - headerBytes
    payload = bytes.dropping(headerBytes).prefix(payloadLength)
    let hasMore = flagsAndOffset & 0x2000 != 0
    let offset = Int(flagsAndOffset & 0x1fff) * 8
    fragment =
      hasMore || offset > 0
      ? Fragment(identification: UInt32(identification), offset: offset, hasMore: hasMore) : nil
  }

  private init?(version6 bytes: PacketBytes) {
    guard let length = bytes.uint16(at: 4), var next = bytes.byte(at: 6), bytes.count >= 40 else { return nil }
    func address(at position: Int) -> IPAddress {
      let words = (0..<4).map { UInt64(bytes.uint32(at: position + $0 * 4) ?? 0) }
      return IPAddress(high: words[0] << 32 | words[1], low: words[2] << 32 | words[3], isIPv6: true)
    }
    source = address(at: 8)
    destination = address(at: 24)
    // 0: a jumbogram (RFC 2675) or segmentation offload.
    let totalBytes = length == 0 ? bytes.count : 40 + Int(length)
    var position = 40
    var found: Fragment?
    // Extension headers (RFC 8200, section 4): each says how long it is, so the walk always advances.
    walk: while true {
      switch next {
      case 0, 43, 60, 135:  // hop-by-hop options, routing, destination options, mobility
        guard let following = bytes.byte(at: position), let units = bytes.byte(at: position + 1) else { return nil }
        next = following
        position += 8 + Int(units) * 8
      case 51:  // authentication header (RFC 4302): its length counts 4-byte units
        guard let following = bytes.byte(at: position), let units = bytes.byte(at: position + 1) else { return nil }
        next = following
        position += (Int(units) + 2) * 4
      case 44:
        guard let following = bytes.byte(at: position), let word = bytes.uint16(at: position + 2),
          let identification = bytes.uint32(at: position + 4)
        else { return nil }
        next = following
        position += 8
        let fragment = Fragment(
          identification: identification, offset: Int(word & 0xfff8), hasMore: word & 1 != 0)
        found = fragment
        // Only the first fragment has the headers that follow.
        if fragment.offset > 0 { break walk }
      default:
        break walk
      }
    }
    guard totalBytes >= position else { return nil }
    transport = next
    payloadLength = totalBytes - position
    payload = bytes.dropping(position).prefix(payloadLength)
    // An "atomic" fragment is a whole packet (RFC 6946).
    fragment = found.map { $0.offset == 0 && !$0.hasMore } == true ? nil : found
  }
}

extension IPAddress {
  /// As RFC 5952 writes it.
  var text: String {
    if !isIPv6 {
      return (0..<4).map { String(UInt8(truncatingIfNeeded: low >> UInt64(24 - $0 * 8))) }.joined(separator: ".")
    }
    let groups = (0..<8).map { UInt16(truncatingIfNeeded: ($0 < 4 ? high : low) >> UInt64(48 - ($0 % 4) * 16)) }
    // The first of the longest runs of zero groups, of two at least, is shortened.
    var longest = 0..<0
    var start = 0
    while start < 8 {
      var end = start
      while end < 8, groups[end] == 0 { end += 1 }
      if end - start > max(longest.count, 1) { longest = start..<end }
      start = max(end, start + 1)
    }
    func join(_ part: ArraySlice<UInt16>) -> String { part.map { String($0, radix: 16) }.joined(separator: ":") }
    return longest.isEmpty
      ? join(groups[...]) : "\(join(groups[..<longest.lowerBound]))::\(join(groups[longest.upperBound...]))"
  }
}
