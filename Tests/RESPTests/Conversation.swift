// A Redis connection as a script: who says what, what is lost, and how it is cut into frames.
import RESP
import Support
import TapWire
import Testing

/// What happens on a connection. Each event is a microsecond behind the one before.
enum Event {
  case client([UInt8])
  case server([UInt8])
  case clientGap(Int)
  case serverGap(Int)
  case silence(milliseconds: UInt64)
  /// The flow is described again: calls of several threads have overlapped.
  case interleaved

  static func client(_ text: String) -> Event { .client(Array(text.utf8)) }
  static func server(_ text: String) -> Event { .server(Array(text.utf8)) }
  /// A command as clients send it, its words divided by spaces.
  static func command(_ words: String) -> Event { .client(encode(words.split(separator: " ").map { Array($0.utf8) })) }
}

/// A command as an array of bulk strings.
func encode(_ words: [[UInt8]]) -> [UInt8] {
  var bytes = Array("*\(words.count)\r\n".utf8)
  for word in words { bytes += Array("$\(word.count)\r\n".utf8) + word + [0x0d, 0x0a] }
  return bytes
}

/// A confirmation of a subscription, as an array or as a push of RESP3.
func confirmation(_ word: String, _ channel: String?, _ total: Int, type: String = "*") -> [UInt8] {
  Array("\(type)3\r\n".utf8) + bulk(word) + (channel.map(bulk) ?? Array("$-1\r\n".utf8)) + Array(":\(total)\r\n".utf8)
}

func encode(_ words: String...) -> [UInt8] { encode(words.map { Array($0.utf8) }) }

/// A bulk string.
func bulk(_ text: String) -> [UInt8] { Array("$\(text.utf8.count)\r\n\(text)\r\n".utf8) }

/// A connection, in the frames of a capture.
struct Conversation {
  var events: [Event]
  var isPreexisting = false
  var role = Role.client
  /// What the flow frame says of the role, where it says something else.
  var toldRole: Role?
  /// Cuts each run of bytes into frames: lengths of the pieces of `count` bytes.
  var split: (_ count: Int) -> [Int] = { [$0] }
  /// When it begins. A clock that runs for more than four seconds, as most do, lets plain exchanges take the short way.
  var startNanoseconds: UInt64 = 6_000_000_000_000
  /// Frames of the whole connection end here, without a close frame.
  var isClosed = true

  init(_ events: [Event]) { self.events = events }

  func encoded(flow id: UInt64 = 1) -> [UInt8] {
    var buffer = ByteBuffer(capacityBytes: 1 << 12)
    var flow = FlowFrame(
      id: id, process: nil, transport: "tcp", local: .ip("127.0.0.1", port: 50000),
      remote: .ip("127.0.0.1", port: 6379),
      role: toldRole ?? role, isPreexisting: isPreexisting
    )
    flow.append(to: &buffer)
    var time = startNanoseconds
    var offsets: [UInt64] = [0, 0]
    let (clientDirection, serverDirection): (Direction, Direction) =
      role == .server ? (.received, .sent) : (.sent, .received)
    func data(_ direction: Direction, _ bytes: [UInt8]) {
      var position = 0
      for length in split(bytes.count) where length > 0 {
        time += 1000
        bytes[position..<position + length].withUnsafeBytes {
          DataFrame(
            flow: id, direction: direction, time: time, offset: offsets[Int(direction.rawValue)], bytes: $0
          ).append(to: &buffer)
        }
        offsets[Int(direction.rawValue)] += UInt64(length)
        position += length
      }
    }
    func gap(_ direction: Direction, _ length: Int) {
      time += 1000
      GapFrame(
        flow: id, direction: direction, time: time, offset: offsets[Int(direction.rawValue)], length: UInt64(length),
        reason: .ringFull
      ).append(to: &buffer)
      offsets[Int(direction.rawValue)] += UInt64(length)
    }
    for event in events {
      switch event {
      case .client(let bytes): data(clientDirection, bytes)
      case .server(let bytes): data(serverDirection, bytes)
      case .clientGap(let length): gap(clientDirection, length)
      case .serverGap(let length): gap(serverDirection, length)
      case .silence(let milliseconds): time += milliseconds * 1_000_000
      case .interleaved:
        flow.isInterleaved = true
        flow.append(to: &buffer)
      }
    }
    if isClosed { CloseFrame(flow: id, time: time + 1000, reason: "closed").append(to: &buffer) }
    return Array(buffer.bytes)
  }

  /// The whole stream of a capture that saw nothing else.
  var stream: [UInt8] {
    var stream = Stream()
    stream.bytes += encoded()
    return stream.ended
  }
}

/// What tap-resp makes of a stream.
struct Decoded {
  let output: [UInt8]
  let errors: String
  private(set) var exchanges: [Exchange] = []
  private(set) var notices: [NoticeFrame] = []
  private(set) var gaps = 0
  /// Bytes of data frames that passed through, per flow and direction.
  private(set) var passed: [UInt64: [Direction: [UInt8]]] = [:]

  init(_ stream: [UInt8], rules: OutputRules = OutputRules()) throws {
    let context = RedisContext(rules: rules)
    var stage = DecoderStage(
      judge: RedisEvidence.judge,
      claim: { id, evidence in RedisFlow(id: id, evidence: evidence, context: context) },
      excess: context.takeQuietest, finish: context.finish)
    let run = StageRun(&stage, program: "tap-resp", input: stream)
    #expect(run.status == .success)
    output = run.output
    errors = run.errors
    var states: [UInt64: String] = [:]
    let file = ScratchFile(output)
    var reader = FrameReader(descriptor: file.descriptor)
    while let frame = try reader.next() {
      switch frame.kind {
      case .exchange:
        var exchange = try Exchange(frame)
        exchange.state = states[exchange.flow] ?? "{}"
        exchanges.append(exchange)
      case .connection:
        let connection = try ConnectionFrame(frame)
        var state = CBORReader(connection.state, streamOffset: 0)
        states[connection.flow] = try state.readRendered()
      case .gap: gaps += 1
      case .notice: notices.append(try NoticeFrame(frame))
      case .data:
        let data = try DataFrame(frame)
        passed[data.flow, default: [:]][data.direction, default: []] += Array(data.bytes)
      default: break
      }
    }
  }

  init(_ conversation: Conversation, rules: OutputRules = OutputRules()) throws {
    try self.init(conversation.stream, rules: rules)
  }

  init(_ events: Event...) throws { try self.init(Conversation(events)) }

  /// One line for each exchange.
  var lines: [String] { exchanges.map(\.description) }
  /// Of those that are vouched for.
  var vouchedLines: [String] { exchanges.filter { !$0.flags.contains("unvouched") }.map(\.description) }
}
