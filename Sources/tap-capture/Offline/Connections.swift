// The TCP connections of a capture file, each found by its two ends, in bounded memory.
import TapWire

/// Follows the connections of a capture and writes their frames.
struct Connections: ~Copyable {
  private struct Key: Hashable {
    let low: IPAddress
    let high: IPAddress
    let ports: UInt32
  }

  /// A connection at a place of its own, so that none is moved when another comes.
  private final class Entry {
    var connection: Connection

    init(_ connection: Connection) { self.connection = connection }
  }

  private var entries: [Key: Entry] = [:]
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
    let known = entries[key]
    let packet = Packet(segment: segment, sender: sender, time: time, number: packets, processes: processes)
    if let known, let growth = Connections.take(packet, ifNotForeignTo: &known.connection) {
      heldBytes += growth
    } else {
      // A lone RST or FIN tells of a connection that was over before, and nothing of one that goes on.
      guard (segment.isSyn || segment.payloadLength > 0) && !segment.isReset else { return }
      if let known {
        heldBytes -= known.connection.heldBytes
        known.connection.end(reason: "reused", time: time)
      }
      lastFlow += 1
      let receiver = Endpoint(address: destination, port: segment.destinationPort)
      let entry = Entry(Connection(number: lastFlow, sender: sender, receiver: receiver, writer: writer))
      entries[key] = entry
      heldBytes += Connections.take(packet, into: &entry.connection)
    }
    if heldBytes > OfflineLimits.allWaitingBytes { releaseQuietest(time: time) }
    if entries.count > OfflineLimits.connections { forgetQuietest(time: time) }
  }

  private struct Packet {
    let segment: TCPSegment
    let sender: Endpoint
    let time: UInt64
    let number: UInt64
    let processes: (sender: UInt64?, receiver: UInt64?)
  }

  /// Returns by how much the bytes that wait have become more; nil where the segment is of another connection.
  private static func take(_ packet: Packet, ifNotForeignTo connection: inout Connection) -> Int? {
    connection.isForeign(packet.segment, from: connection.end(of: packet.sender))
      ? nil : take(packet, into: &connection)
  }

  @inline(__always)
  private static func take(_ packet: Packet, into connection: inout Connection) -> Int {
    let end = connection.end(of: packet.sender)
    if let process = packet.processes.sender { connection.learn(process: process, at: end) }
    if let process = packet.processes.receiver { connection.learn(process: process, at: end.opposite) }
    let held = connection.heldBytes
    connection.receive(packet.segment, from: end, time: packet.time, packet: packet.number)
    return connection.heldBytes - held
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
  mutating func finish(time: UInt64) {
    for entry in entries.values.sorted(by: { $0.connection.number < $1.connection.number }) {
      entry.connection.finish(time: time)
    }
    entries.removeAll()
    heldBytes = 0
  }

  /// Half of what waits goes out at once, so that the search for it stays cheap for each byte.
  private mutating func releaseQuietest(time: UInt64) {
    let holding = entries.values.filter { $0.connection.heldBytes > 0 }
    for entry in holding.sorted(by: { $0.connection.lastPacket < $1.connection.lastPacket })
    where heldBytes > OfflineLimits.allWaitingBytes / 2 {
      let held = entry.connection.heldBytes
      entry.connection.release(time: time)
      heldBytes -= held - entry.connection.heldBytes
      hurried += UInt64(held)
    }
  }

  /// An eighth at once, so that the search for them stays cheap for each connection.
  private mutating func forgetQuietest(time: UInt64) {
    func rank(_ entry: Entry) -> (Int, UInt64) { (entry.connection.isEnded ? 0 : 1, entry.connection.lastPacket) }
    for (key, entry) in entries.sorted(by: { rank($0.value) < rank($1.value) }).prefix(entries.count / 8) {
      heldBytes -= entry.connection.heldBytes
      if !entry.connection.isEnded { forgotten += 1 }
      entry.connection.end(reason: "forgotten", time: time)
      entries[key] = nil
    }
  }
}
