// One TCP connection of a capture file as a flow: seen from its client, since no process is known.
import TapWire

struct Endpoint: Equatable {
  let address: IPAddress
  let port: UInt16

  var wire: Address { .ip(address.text, port: port) }
}

final class Connection {
  let flow: UInt64
  private let client: Endpoint
  private let server: Endpoint
  private let isPreexisting: Bool
  /// From the client, and from the server.
  private var sent = TCPStream()
  private var received = TCPStream()
  private var isEnded = false
  /// The number of the last packet, for forgetting the quietest.
  private(set) var lastPacket: UInt64 = 0

  init(flow: UInt64, first: TCPSegment, sender: Endpoint, receiver: Endpoint) {
    self.flow = flow
    isPreexisting = !first.isSyn
    let senderIsServer = Connection.isServer(sender, of: first, to: receiver)
    client = senderIsServer ? receiver : sender
    server = senderIsServer ? sender : receiver
  }

  /// The handshake tells: only a server acknowledges in its SYN. Else the lower port is the server's, as ephemeral ports
  /// are high (RFC 6335, section 6).
  private static func isServer(_ sender: Endpoint, of segment: TCPSegment, to receiver: Endpoint) -> Bool {
    segment.isSyn ? segment.acknowledgement != nil : sender.port < receiver.port
  }

  func describe(to writer: inout FlowWriter) {
    writer.write(
      FlowFrame(
        id: flow, process: nil, transport: "tcp", local: client.wire, remote: server.wire, role: .client,
        isPreexisting: isPreexisting))
  }

  /// Whether a segment begins a new connection between the same ports: a SYN with another sequence number.
  func isAnotherConnection(_ segment: TCPSegment, from sender: Endpoint) -> Bool {
    guard segment.isSyn else { return false }
    let stream = sender == client ? sent : received
    return isEnded || (stream.hasBegun && stream.initialSequence != segment.sequence)
  }

  func receive(
    _ segment: TCPSegment, from sender: Endpoint, time: UInt64, packet: UInt64, to writer: inout FlowWriter
  ) {
    lastPacket = packet
    // What comes behind the end is a retransmission or a late acknowledgement.
    guard !isEnded else { return }
    if sender == client {
      Connection.take(segment, .sent, of: &sent, acknowledging: &received, flow, time, packet, &writer)
    } else {
      Connection.take(segment, .received, of: &received, acknowledging: &sent, flow, time, packet, &writer)
    }
    if segment.isReset {
      end(reason: "reset", time: time, to: &writer)
    } else if sent.isFinished && received.isFinished {
      end(reason: "closed", time: time, to: &writer)
    }
  }

  private static func take(
    _ segment: TCPSegment, _ direction: Direction, of stream: inout TCPStream, acknowledging other: inout TCPStream,
    _ flow: UInt64, _ time: UInt64, _ packet: UInt64, _ writer: inout FlowWriter
  ) {
    if segment.isSyn { stream.begin(behindSyn: segment.sequence) }
    writer.select(flow, direction)
    stream.add(segment, time: time, packet: packet, to: &writer)
    guard let acknowledgement = segment.acknowledgement else { return }
    writer.select(flow, direction.opposite)
    other.acknowledge(acknowledgement, packet: packet, time: time, to: &writer)
  }

  /// What waits goes out, with the gaps that are certain now.
  func finish(time: UInt64, to writer: inout FlowWriter) {
    guard !isEnded else { return }
    writer.select(flow, .sent)
    sent.finish(time: time, to: &writer)
    writer.select(flow, .received)
    received.finish(time: time, to: &writer)
    writer.totals.repeatedBytes += sent.repeatedBytes + received.repeatedBytes
  }

  func end(reason: String, time: UInt64, to writer: inout FlowWriter) {
    guard !isEnded else { return }
    finish(time: time, to: &writer)
    isEnded = true
    writer.write(CloseFrame(flow: flow, time: time, reason: reason))
  }
}
