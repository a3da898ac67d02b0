// The TCP connections of a capture file: who is the client, when each begins and ends, in bounded memory.
import TapWire

/// Follows the connections of a capture and writes their frames.
struct Connections: ~Copyable {
  /// Connections that are remembered; beyond it those that were quiet for longest are ended.
  static let maximumConnections = 65_536

  private struct Key: Hashable {
    let firstAddress: IPAddress
    let secondAddress: IPAddress
    let ports: UInt32
  }

  private var connections: [Key: Connection] = [:]
  private var lastFlow: UInt64 = 0
  private var packets: UInt64 = 0

  mutating func receive(
    _ segment: TCPSegment, from source: IPAddress, to destination: IPAddress, time: UInt64, to writer: inout FlowWriter
  ) {
    packets += 1
    let isForward =
      (source.high, source.low, UInt64(segment.sourcePort))
      <= (destination.high, destination.low, UInt64(segment.destinationPort))
    let (low, high) =
      isForward ? (segment.sourcePort, segment.destinationPort) : (segment.destinationPort, segment.sourcePort)
    let key = Key(
      firstAddress: isForward ? source : destination, secondAddress: isForward ? destination : source,
      ports: UInt32(low) << 16 | UInt32(high))
    let sender = Endpoint(address: source, port: segment.sourcePort)
    let receiver = Endpoint(address: destination, port: segment.destinationPort)

    if let known = connections[key] {
      guard known.isAnotherConnection(segment, from: sender) else {
        known.receive(segment, from: sender, time: time, packet: packets, to: &writer)
        return
      }
      known.end(reason: "reused", time: time, to: &writer)
    }
    // A lone RST or FIN tells of a connection that was over before.
    guard segment.isSyn || segment.payloadLength > 0 else { return }
    lastFlow += 1
    let connection = Connection(flow: lastFlow, first: segment, sender: sender, receiver: receiver)
    connections[key] = connection
    connection.describe(to: &writer)
    connection.receive(segment, from: sender, time: time, packet: packets, to: &writer)
    if connections.count > Connections.maximumConnections { forgetQuietest(time: time, to: &writer) }
  }

  /// The capture ends: what waits in the connections goes out, the open ones stay open.
  mutating func finish(time: UInt64, to writer: inout FlowWriter) {
    for connection in connections.values.sorted(by: { $0.flow < $1.flow }) {
      connection.finish(time: time, to: &writer)
    }
    connections.removeAll()
  }

  /// An eighth at once, so that the search for them stays cheap for each connection.
  private mutating func forgetQuietest(time: UInt64, to writer: inout FlowWriter) {
    let quietest = connections.sorted { $0.value.lastPacket < $1.value.lastPacket }.prefix(connections.count / 8)
    for (key, connection) in quietest {
      connection.end(reason: "forgotten", time: time, to: &writer)
      connections[key] = nil
    }
  }
}
