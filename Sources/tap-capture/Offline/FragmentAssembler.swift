// IP fragments (RFC 791, section 3.2; RFC 8200, section 4.5) put together again, within fixed memory.

/// Collects the fragments of packets. Overlapping fragments keep what came first.
struct FragmentAssembler {
  /// An IP payload is at most 65,535 bytes.
  static let maximumPayloadBytes = 65_535

  private struct Key: Hashable {
    let source: IPAddress
    let destination: IPAddress
    let transport: UInt8
    let identification: UInt32
  }

  fileprivate struct Partial {
    var bytes: [UInt8] = []
    /// Which 8-byte units have come, and the total length once the last fragment has.
    var arrived: [Bool] = []
    var arrivedUnits = 0
    var total: Int?
    /// The number of the header that the payload begins with.
    var transport: UInt8
    let order: UInt64
    let since: UInt64
  }

  private var partials: [Key: Partial] = [:]
  private var heldBytes = 0
  private var order: UInt64 = 0
  /// Packets whose fragments never became whole.
  private(set) var incompletePackets: UInt64 = 0
  var pendingPackets: Int { partials.count }

  /// Adds a fragment that came at `time`; returns the payload, and the number of its first header, once it is whole.
  mutating func add(
    _ packet: IPPacket, _ fragment: IPPacket.Fragment, time: UInt64
  ) -> (payload: [UInt8], transport: UInt8)? {
    let end = fragment.offset + packet.payload.count
    // A fragment that was cut by the snap length cannot be completed.
    guard packet.payload.count == packet.payloadLength, end <= FragmentAssembler.maximumPayloadBytes,
      !fragment.hasMore || packet.payload.count % 8 == 0
    else {
      if fragment.offset == 0 { incompletePackets += 1 }
      return nil
    }
    // IPv6 gives each fragment's own next header; only the first one's counts, so it is no part of the key there.
    let key = Key(
      source: packet.source, destination: packet.destination,
      transport: packet.source.isIPv6 ? 0 : packet.transport, identification: fragment.identification)
    order += 1
    var partial = takePartial(key, packet.transport, time)
    if fragment.offset == 0 { partial.transport = packet.transport }
    partial.add(packet.payload.bytes, at: fragment.offset)
    if !fragment.hasMore { partial.total = end }
    if let total = partial.total, total <= partial.bytes.count, partial.arrivedUnits == partial.arrived.count {
      return (Array(partial.bytes.prefix(total)), partial.transport)
    }
    partials[key] = partial
    heldBytes += partial.bytes.count
    while partials.count > OfflineLimits.fragmentedPackets || heldBytes > OfflineLimits.fragmentBytes { giveUpOldest() }
    return nil
  }

  /// What has come of a packet. Identifications come again, so what is old is of another packet.
  private mutating func takePartial(_ key: Key, _ transport: UInt8, _ time: UInt64) -> Partial {
    let new = Partial(transport: transport, order: order, since: time)
    guard let known = partials.removeValue(forKey: key) else { return new }
    heldBytes -= known.bytes.count
    guard time > known.since, time - known.since > OfflineLimits.fragmentPatienceNanoseconds else { return known }
    incompletePackets += 1
    return new
  }

  private mutating func giveUpOldest() {
    guard let oldest = partials.min(by: { $0.value.order < $1.value.order })?.key,
      let partial = partials.removeValue(forKey: oldest)
    else { return }
    heldBytes -= partial.bytes.count
    incompletePackets += 1
  }
}

extension FragmentAssembler.Partial {
  fileprivate mutating func add(_ payload: UnsafeRawBufferPointer, at offset: Int) {
    let end = offset + payload.count
    if bytes.count < end {
      bytes += repeatElement(0, count: end - bytes.count)
      arrived += repeatElement(false, count: (end + 7) / 8 - arrived.count)
    }
    for unit in offset / 8..<(end + 7) / 8 where !arrived[unit] {
      arrived[unit] = true
      arrivedUnits += 1
      for position in unit * 8..<min(end, unit * 8 + 8) { bytes[position] = payload[position - offset] }
    }
  }
}
