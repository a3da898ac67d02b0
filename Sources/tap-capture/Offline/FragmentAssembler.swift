// IP fragments (RFC 791, section 3.2; RFC 8200, section 4.5) put together again, within fixed memory.

/// Collects the fragments of packets. Overlapping fragments keep what came first.
struct FragmentAssembler {
  /// Packets being collected; beyond it the oldest is given up.
  static let maximumPackets = 256
  /// An IP payload is at most 65,535 bytes.
  static let maximumPayloadBytes = 65_535

  private struct Key: Hashable {
    let source: IPAddress
    let destination: IPAddress
    let transport: UInt8
    let identification: UInt32
  }

  private struct Partial {
    var bytes: [UInt8] = []
    /// Which 8-byte units have come, and the total length once the last fragment has.
    var arrived: [Bool] = []
    var arrivedUnits = 0
    var total: Int?
    var order: UInt64
  }

  private var partials: [Key: Partial] = [:]
  private var order: UInt64 = 0
  /// Packets whose fragments never became whole.
  private(set) var incompletePackets: UInt64 = 0
  var pendingPackets: Int { partials.count }

  /// Adds a fragment; returns the payload once it is whole.
  mutating func add(_ packet: IPPacket, _ fragment: IPPacket.Fragment) -> [UInt8]? {
    let end = fragment.offset + packet.payload.count
    // A fragment that was cut by the snap length cannot be completed.
    guard packet.payload.count == packet.payloadLength, end <= FragmentAssembler.maximumPayloadBytes,
      !fragment.hasMore || packet.payload.count % 8 == 0
    else { return nil }
    // IPv6 gives each fragment's own next header; only the first one's counts, so it is no part of the key there.
    let key = Key(
      source: packet.source, destination: packet.destination,
      transport: packet.source.isIPv6 ? 0 : packet.transport, identification: fragment.identification)
    var partial = partials.removeValue(forKey: key) ?? Partial(order: order)
    order += 1
    if partial.bytes.count < end {
      partial.bytes += repeatElement(0, count: end - partial.bytes.count)
      partial.arrived += repeatElement(false, count: (end + 7) / 8 - partial.arrived.count)
    }
    for unit in fragment.offset / 8..<(end + 7) / 8 where !partial.arrived[unit] {
      partial.arrived[unit] = true
      partial.arrivedUnits += 1
      for position in unit * 8..<min(end, unit * 8 + 8) {
        partial.bytes[position] = packet.payload.bytes[position - fragment.offset]
      }
    }
    if !fragment.hasMore { partial.total = end }
    if let total = partial.total, total <= partial.bytes.count, partial.arrivedUnits == partial.arrived.count {
      return Array(partial.bytes.prefix(total))
    }
    partials[key] = partial
    if partials.count > FragmentAssembler.maximumPackets { giveUpOldest() }
    return nil
  }

  private mutating func giveUpOldest() {
    guard let oldest = partials.min(by: { $0.value.order < $1.value.order })?.key else { return }
    partials[oldest] = nil
    incompletePackets += 1
  }
}
