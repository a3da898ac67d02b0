// One number for a connection, the same whichever of its ends a flow is: so that both are sampled, or neither.

extension FlowFrame {
  /// A hash of the two addresses that does not depend on their order; 0 where they tell no connection from another, as those
  /// of a unix socket do not. It is the same in every run and on every machine.
  public var connectionHash: UInt32 {
    guard case .ip(let localHost, let localPort) = local, case .ip(let remoteHost, let remotePort) = remote else {
      return 0
    }
    let sum = FlowFrame.hash(localHost, localPort) &+ FlowFrame.hash(remoteHost, remotePort)
    return max(1, FlowFrame.mixed(sum))
  }

  /// FNV-1a with 32 bits (RFC 9923) over the address as text and the port, then mixed, so that sums of them are no pattern.
  private static func hash(_ host: String, _ port: UInt16) -> UInt32 {
    var hash: UInt32 = 0x811c_9dc5
    for byte in host.utf8 { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
    for byte in [port >> 8, port & 0xff] { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
    return mixed(hash)
  }

  /// The last step of MurmurHash3: each bit of the input changes half of the output.
  public static func mixed(_ hash: UInt32) -> UInt32 {
    var hash = hash
    hash = (hash ^ hash >> 16) &* 0x85eb_ca6b
    hash = (hash ^ hash >> 13) &* 0xc2b2_ae35
    return hash ^ hash >> 16
  }
}
