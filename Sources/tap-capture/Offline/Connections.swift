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
    /// What may be the next connection between the same ports.
    var rival: Rival?

    init(_ connection: Connection) { self.connection = connection }

    var heldBytes: Int { connection.heldBytes + (rival?.heldBytes ?? 0) }

    func refuseRival() {
      if let rival { connection.refuse(rival.payloadBytes) }
      rival = nil
    }
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
    let packet = Packet(
      segment: segment, sender: Endpoint(address: source, port: segment.sourcePort),
      receiver: Endpoint(address: destination, port: segment.destinationPort), time: time, number: packets,
      processes: processes)
    if let known = entries[key] {
      if let rival = known.rival, rival.isAnswered(by: packet) {
        replace(known, by: rival, at: key, time: time, to: writer)
        receive(again: packet, at: key, to: writer)
      } else if let growth = Connections.take(packet, ifNotForeignTo: &known.connection) {
        heldBytes += growth
      } else {
        receive(foreign: packet, at: key, known, to: writer)
      }
    } else {
      begin(with: packet, at: key, to: writer)
    }
    if heldBytes > OfflineLimits.allWaitingBytes { releaseQuietest(time: time) }
    if entries.count > OfflineLimits.connections { forgetQuietest(time: time) }
  }

  /// A lone RST or FIN tells of a connection that was over before, and nothing of one that goes on.
  private static func canBegin(with segment: TCPSegment) -> Bool {
    (segment.isSyn || segment.payloadLength > 0) && !segment.isReset
  }

  private mutating func begin(with packet: Packet, at key: Key, to writer: FlowWriter) {
    guard Connections.canBegin(with: packet.segment) else { return }
    lastFlow += 1
    let entry = Entry(
      Connection(number: lastFlow, sender: packet.sender, receiver: packet.receiver, writer: writer))
    entries[key] = entry
    heldBytes += Connections.take(packet, into: &entry.connection)
  }

  /// A segment that is not of the known connection.
  private mutating func receive(foreign packet: Packet, at key: Key, _ known: Entry, to writer: FlowWriter) {
    guard Connections.canBegin(with: packet.segment) else { return }
    // Where only one end is in the file nobody can answer.
    guard !known.connection.isEnded, known.connection.hasSeen(known.connection.end(of: packet.receiver)) else {
      end(known, time: packet.time)
      return begin(with: packet, at: key, to: writer)
    }
    heldBytes -= known.heldBytes
    if known.rival?.isContinued(by: packet) == true {
      known.rival?.add(packet)
    } else {
      known.refuseRival()
      known.rival = Rival(packet)
    }
    heldBytes += known.heldBytes
    if let rival = known.rival, rival.isFull { replace(known, by: rival, at: key, time: packet.time, to: writer) }
  }

  /// The rival has turned out to be a connection.
  private mutating func replace(
    _ known: Entry, by rival: Rival, at key: Key, time: UInt64, to writer: FlowWriter
  ) {
    heldBytes -= rival.heldBytes
    known.rival = nil
    end(known, time: time)
    entries[key] = nil
    rival.replay { receive(again: $0, at: key, to: writer) }
  }

  private mutating func receive(again packet: Packet, at key: Key, to writer: FlowWriter) {
    guard let entry = entries[key] else { return begin(with: packet, at: key, to: writer) }
    if let growth = Connections.take(packet, ifNotForeignTo: &entry.connection) { heldBytes += growth }
  }

  private mutating func end(_ entry: Entry, time: UInt64) {
    heldBytes -= entry.heldBytes
    entry.refuseRival()
    entry.connection.end(reason: "reused", time: time)
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
      entry.refuseRival()
      entry.connection.end(reason: nil, time: time)
    }
    entries.removeAll()
    heldBytes = 0
  }

  /// Half of what waits goes out at once, so that the search for it stays cheap for each byte.
  private mutating func releaseQuietest(time: UInt64) {
    let holding = entries.values.filter { $0.heldBytes > 0 }
    for entry in holding.sorted(by: { $0.connection.lastPacket < $1.connection.lastPacket })
    where heldBytes > OfflineLimits.allWaitingBytes / 2 {
      let held = entry.heldBytes
      entry.refuseRival()
      entry.connection.release(time: time)
      heldBytes -= held - entry.heldBytes
      hurried += UInt64(held)
    }
  }

  /// An eighth at once, so that the search for them stays cheap for each connection.
  private mutating func forgetQuietest(time: UInt64) {
    func rank(_ entry: Entry) -> (Int, UInt64) { (entry.connection.isEnded ? 0 : 1, entry.connection.lastPacket) }
    for (key, entry) in entries.sorted(by: { rank($0.value) < rank($1.value) }).prefix(entries.count / 8) {
      heldBytes -= entry.heldBytes
      entry.refuseRival()
      if !entry.connection.isEnded { forgotten += 1 }
      entry.connection.end(reason: "forgotten", time: time)
      entries[key] = nil
    }
  }
}
