// The TCP connections of a capture file, each found by its two ends, in bounded memory.
import TapWire

/// Follows the connections of a capture and writes their frames.
struct Connections: ~Copyable {
  private struct Key: Hashable {
    let low: IPAddress
    let high: IPAddress
    let ports: UInt32
  }

  private var connections: [Key: Connection] = [:]
  private var lastFlow: UInt64 = 0
  private var packets: UInt64 = 0
  /// What waits for missing bytes, over all connections.
  private var heldBytes = 0
  /// Connections that were forgotten while they were open, and bytes that could wait no longer.
  private(set) var forgotten: UInt64 = 0
  private(set) var hurried: UInt64 = 0

  /// `processes` are the ids of the processes that the file names at the ends of this packet.
  mutating func receive(
    _ segment: TCPSegment, from source: IPAddress, to destination: IPAddress, time: UInt64,
    processes: (sender: UInt64?, receiver: UInt64?), to writer: FlowWriter
  ) {
    packets += 1
    let key = Connections.key(segment, source, destination)
    let sender = Endpoint(address: source, port: segment.sourcePort)
    let connection: Connection
    if let known = connections[key], !known.isForeign(segment, from: known.end(of: sender)) {
      connection = known
    } else {
      // A lone RST or FIN tells of a connection that was over before, and nothing of one that goes on.
      guard (segment.isSyn || segment.payloadLength > 0) && !segment.isReset else { return }
      if let former = connections[key] {
        heldBytes -= former.heldBytes
        former.end(reason: "reused", time: time, to: writer)
      }
      lastFlow += 1
      let receiver = Endpoint(address: destination, port: segment.destinationPort)
      connection = Connection(flow: lastFlow, sender: sender, receiver: receiver)
      connections[key] = connection
    }
    let end = connection.end(of: sender)
    if let process = processes.sender { connection.learn(process: process, at: end, to: writer) }
    if let process = processes.receiver { connection.learn(process: process, at: end.opposite, to: writer) }
    let held = connection.heldBytes
    connection.receive(segment, from: end, time: time, packet: packets, to: writer)
    heldBytes += connection.heldBytes - held
    if heldBytes > OfflineLimits.allWaitingBytes { releaseQuietest(time: time, to: writer) }
    if connections.count > OfflineLimits.connections { forgetQuietest(time: time, to: writer) }
  }

  /// The same for both directions.
  @inline(__always)
  private static func key(_ segment: TCPSegment, _ source: IPAddress, _ destination: IPAddress) -> Key {
    let isForward =
      (source.high, source.low, UInt64(segment.sourcePort))
      <= (destination.high, destination.low, UInt64(segment.destinationPort))
    let (low, high) =
      isForward ? (segment.sourcePort, segment.destinationPort) : (segment.destinationPort, segment.sourcePort)
    return Key(
      low: isForward ? source : destination, high: isForward ? destination : source,
      ports: UInt32(low) << 16 | UInt32(high))
  }

  /// The capture ends: what waits in the connections goes out, the open ones stay open.
  mutating func finish(time: UInt64, to writer: FlowWriter) {
    for connection in connections.values.sorted(by: { $0.flow < $1.flow }) {
      connection.finish(time: time, to: writer)
    }
    connections.removeAll()
    heldBytes = 0
  }

  /// Half of what waits goes out at once, so that the search for it stays cheap for each byte.
  private mutating func releaseQuietest(time: UInt64, to writer: FlowWriter) {
    for connection in connections.values.filter({ $0.heldBytes > 0 }).sorted(by: { $0.lastPacket < $1.lastPacket })
    where heldBytes > OfflineLimits.allWaitingBytes / 2 {
      let held = connection.heldBytes
      connection.release(time: time, to: writer)
      heldBytes -= held - connection.heldBytes
      hurried += UInt64(held)
    }
  }

  /// An eighth at once, so that the search for them stays cheap for each connection.
  private mutating func forgetQuietest(time: UInt64, to writer: FlowWriter) {
    let quietest = connections.sorted {
      ($0.value.isEnded ? 0 : 1, $0.value.lastPacket) < ($1.value.isEnded ? 0 : 1, $1.value.lastPacket)
    }
    for (key, connection) in quietest.prefix(connections.count / 8) {
      heldBytes -= connection.heldBytes
      if !connection.isEnded { forgotten += 1 }
      connection.end(reason: "forgotten", time: time, to: writer)
      connections[key] = nil
    }
  }
}
