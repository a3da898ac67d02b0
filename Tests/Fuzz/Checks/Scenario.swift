// The fuzzer's bytes as a capture: who says what on which connection, what is lost, when there is silence.
import TapWire

/// A capture, written so that a mutation of it is a capture, too, and so that RESP stands in it as it is.
///
/// A byte stands for itself, in the direction that is talking. Behind `escape` comes what else happens:
/// an `Event`, or `escape` again for the byte itself. The capture begins with connection 0 in the client's direction.
package struct Scenario {
  static let escape: UInt8 = 0xfe

  /// What stands behind `escape`, modulo their number.
  enum Event: UInt8, CaseIterable {
    /// The other side talks now.
    case turn
    /// The same side goes on in another frame.
    case cut
    /// 100 ms without a byte.
    case silence
    /// The next byte tells how much is lost where the side that talks goes on: below 128 bytes, else 64 bytes each.
    case gap
    /// The connection ends; another begins in its place, seen from its beginning.
    case reconnect
    /// The same, but the other begins in its middle, its role known by the next byte.
    case join
    /// The same, but nobody describes the other.
    case stranger
    /// The other one of two connections talks now.
    case other
    /// The connection is described again: several threads write at once.
    case interleave
  }

  /// A frame of the capture.
  enum Step {
    case flow(FlowFrame)
    case data(flow: UInt64, Direction, time: UInt64, offset: UInt64, [UInt8])
    case gap(GapFrame)
    case close(CloseFrame)
  }

  private(set) var steps: [Step] = []

  package init(_ input: UnsafeRawBufferPointer) {
    var builder = Builder()
    var rest = input[...]
    while let byte = rest.popFirst() {
      guard byte == Scenario.escape, let code = rest.popFirst(), code != Scenario.escape else {
        builder.say(byte)
        continue
      }
      let event = Event.allCases[Int(code) % Event.allCases.count]
      builder.happen(event, argument: event == .gap || event == .join ? rest.popFirst() ?? 0 : 0)
    }
    builder.endFrame()
    steps = builder.steps
  }

  private struct Connection {
    var flow: UInt64
    var role = Role.client
    var direction = Direction.sent
    /// Of each direction; a stream that is joined does not begin at 0.
    var offsets: [UInt64] = [0, 0]
    var isDescribed = true

    func description(interleaved: Bool = false, preexisting: Bool = false) -> FlowFrame {
      var frame = FlowFrame(
        id: flow, process: nil, transport: "tcp", local: .ip("127.0.0.1", port: 50000),
        remote: .ip("127.0.0.1", port: 6379), role: role, isPreexisting: preexisting)
      frame.isInterleaved = interleaved
      return frame
    }
  }

  private struct Builder {
    var steps: [Step]
    private var connections = [Connection(flow: 1), Connection(flow: 2)]
    private var talking = 0
    private var nextFlow: UInt64 = 3
    private var time: UInt64 = 6_000_000_000_000
    private var said: [UInt8] = []

    init() { steps = connections.map { .flow($0.description()) } }

    mutating func say(_ byte: UInt8) { said.append(byte) }

    mutating func endFrame() {
      guard !said.isEmpty else { return }
      let connection = connections[talking]
      time += 1000
      steps.append(
        .data(flow: connection.flow, connection.direction, time: time, offset: advance(UInt64(said.count)), said))
      said = []
    }

    mutating func happen(_ event: Event, argument: UInt8) {
      endFrame()
      time += 1000
      switch event {
      case .cut: break
      case .turn: connections[talking].direction = connections[talking].direction == .sent ? .received : .sent
      case .silence: time += 100_000_000
      case .gap:
        let length = argument < 128 ? UInt64(argument) + 1 : UInt64(argument) * 64
        let connection = connections[talking]
        steps.append(
          .gap(
            GapFrame(
              flow: connection.flow, direction: connection.direction, time: time, offset: advance(length),
              length: length, reason: .ringFull)))
      case .reconnect: replace(with: Connection(flow: nextFlow), preexisting: false)
      case .join:
        let roles = [Role.client, .server, .unknown]
        var joined = Connection(flow: nextFlow, role: roles[Int(argument) % roles.count])
        joined.offsets = [5000, 7000]
        replace(with: joined, preexisting: true)
      case .stranger:
        replace(with: Connection(flow: nextFlow, role: .unknown, isDescribed: false), preexisting: true)
      case .other: talking = 1 - talking
      case .interleave:
        if connections[talking].isDescribed {
          steps.append(.flow(connections[talking].description(interleaved: true)))
        }
      }
    }

    /// The stream offset of the talking side, which goes on `length` bytes behind it.
    private mutating func advance(_ length: UInt64) -> UInt64 {
      let side = Int(connections[talking].direction.rawValue)
      defer { connections[talking].offsets[side] += length }
      return connections[talking].offsets[side]
    }

    private mutating func replace(with connection: Connection, preexisting: Bool) {
      steps.append(.close(CloseFrame(flow: connections[talking].flow, time: time, reason: "closed")))
      connections[talking] = connection
      nextFlow += 1
      if connection.isDescribed { steps.append(.flow(connection.description(preexisting: preexisting))) }
    }
  }
}
