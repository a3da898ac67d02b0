// The flow that a connection of a capture file becomes: what is known of its ends, and the frames that tell of it.
import TapWire

struct Endpoint: Equatable {
  let address: IPAddress
  let port: UInt16

  var wire: Address { .ip(address.text, port: port) }
}

/// Of the two ends of a connection: the one that sent the first packet, or the other.
enum End {
  case first
  case second

  var opposite: End { self == .first ? .second : .first }
}

/// Writes the frames of one flow.
///
/// A capture file sees both ends at once. The flow is the client's, or that of the process that the file names at the other
/// end. It is described when its first bytes go out: then the handshake was seen if it is in the file.
struct Flow: TCPStreamSink {
  private let id: UInt64
  private let endpoints: (first: Endpoint, second: Endpoint)
  private let writer: FlowWriter
  private var processes: (first: UInt64?, second: UInt64?) = (nil, nil)
  /// The end whose flow this is, and the process that its frame names; nil until it is described.
  private var described: (local: End, process: UInt64?)?
  /// Who opened the connection; nil until a SYN was seen.
  var opener: End?
  /// Whose bytes follow.
  var sender = End.first

  init(id: UInt64, sender: Endpoint, receiver: Endpoint, writer: FlowWriter) {
    self.id = id
    endpoints = (sender, receiver)
    self.writer = writer
  }

  func end(of endpoint: Endpoint) -> End { endpoint == endpoints.first ? .first : .second }

  // MARK: Description

  /// Ephemeral ports are high (RFC 6335, section 6): without a handshake the lower port is the server's.
  private var client: End { opener ?? (endpoints.first.port < endpoints.second.port ? .second : .first) }

  private func process(of end: End) -> UInt64? { end == .first ? processes.first : processes.second }

  private mutating func describe() -> End {
    let client = self.client
    let server = client.opposite
    let local = process(of: client) == nil && process(of: server) != nil ? server : client
    if described == nil { writer.totals.flows += 1 }
    described = (local, process(of: local))
    writer.write(
      FlowFrame(
        id: id, process: process(of: local), transport: "tcp",
        local: (local == .first ? endpoints.first : endpoints.second).wire,
        remote: (local == .first ? endpoints.second : endpoints.first).wire, role: local == client ? .client : .server,
        isPreexisting: opener == nil))
    return local
  }

  /// Learns which process is at an end. Of the flow's own one the description is sent again.
  mutating func learn(process: UInt64, at end: End) {
    guard self.process(of: end) == nil else { return }
    if end == .first { processes.first = process } else { processes.second = process }
    if let described, described.local == end, described.process == nil { _ = describe() }
  }

  // MARK: Bytes

  private mutating func direction() -> Direction { sender == described?.local ?? describe() ? .sent : .received }

  mutating func deliver(_ bytes: UnsafeRawBufferPointer, offset: UInt64, time: UInt64) {
    writer.write(DataFrame(flow: id, direction: direction(), time: time, offset: offset, bytes: bytes))
  }

  mutating func miss(_ length: UInt64, offset: UInt64, time: UInt64, reason: GapFrame.Reason) {
    writer.write(
      GapFrame(flow: id, direction: direction(), time: time, offset: offset, length: length, reason: reason))
  }

  // MARK: The end

  /// The bytes are over.
  mutating func finish(repeatedBytes: UInt64, refusedBytes: UInt64, contradictions: UInt64) {
    if described == nil { _ = describe() }
    writer.totals.repeatedBytes += repeatedBytes
    writer.totals.refusedBytes += refusedBytes
    if contradictions > 0 { writer.totals.contradicted(id, contradictions) }
  }

  func close(reason: String, time: UInt64) { writer.write(CloseFrame(flow: id, time: time, reason: reason)) }

  func countLate(repeated: UInt64, refused: UInt64) {
    writer.totals.repeatedBytes += repeated
    writer.totals.refusedBytes += refused
  }

  func countRefusedReset() { writer.totals.refusedResets += 1 }
}
