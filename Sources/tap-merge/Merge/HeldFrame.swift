// A frame that waits: an exchange for the other side's view of it, and behind it whatever follows in its flow.
import TapWire

/// When an exchange happened, as one side saw it.
struct ExchangeTimes: Equatable {
  var start: UInt64
  /// nil where there is no response.
  var end: UInt64?

  /// The last moment of it.
  var last: UInt64 { end ?? start }

  /// Whether `server` can be the server's view of this client's. A server has the request before the client has the
  /// response; all else is seen so late at most on a busy machine.
  func meets(server: ExchangeTimes, toleranceNanoseconds: UInt64) -> Bool {
    func isBehind(_ moment: UInt64, _ earlier: UInt64) -> Bool {
      let (limit, overflow) = earlier.addingReportingOverflow(toleranceNanoseconds)
      return !overflow && moment > limit
    }
    if isBehind(start, server.last) { return false }
    return end.map { server.start <= $0 } ?? !isBehind(server.start, start)
  }

  /// Whether `inner` was received after this request was sent, and answered before this response was received.
  func encloses(_ inner: ExchangeTimes) -> Bool {
    guard let end, let innerEnd = inner.end else { return false }
    return start <= inner.start && innerEnd <= end
  }
}

struct HeldFrame {
  enum Kind {
    case exchange
    /// Bytes are missing in the flow from here on.
    case gap
    /// The flow is over.
    case close
    case other
  }

  enum State: Equatable {
    /// For the other side's view.
    case waiting
    /// For nothing but its turn: its place in the order is not known.
    case ready
    /// For nothing but its turn: there is no other side's view, and the order goes on behind it.
    case alone
    /// For its turn, to go out with the server's view, and with the server's flags beside its own.
    case merged(ServerView, flags: [String])
    /// It has become part of the other side's exchange.
    case taken
  }

  var kind: Kind
  /// The frame with the head of its byte string.
  var encoded: [UInt8]
  /// Where protocol, request and response stand in it.
  private var content = 0..<0
  /// Of a gap the time when it was noticed.
  var times: ExchangeTimes
  var state: State
  private var firstByte: UInt64?
  private var process: UInt64?
  private var flags: [String] = []
  /// The exchange before it on this side was over when it began, and nothing is missing between the two.
  var beginsAlone = false
  /// Which of its side's exchanges it is, those counted that a filter has hidden.
  var ordinal: Int64 = 0
  /// Whether a filter has hidden the one before it.
  var isBehindHidden = false

  init(_ frame: Frame, kind: Kind, time: UInt64) {
    self.kind = kind
    encoded = Array(frame.encoded)
    times = ExchangeTimes(start: time)
    state = .ready
  }

  init(_ exchange: ExchangeFrame, in frame: Frame) {
    self.init(frame, kind: .exchange, time: exchange.start)
    times.end = exchange.end
    firstByte = exchange.firstByte
    process = exchange.process
    flags = exchange.flagNames
    // Nobody knows which request an unvouched response belongs to. What is merged already was seen by another such stage.
    if exchange.server != nil || flags.contains("unvouched") { return }
    if let first = exchange.protocolName.baseAddress, let last = exchange.flags.baseAddress,
      let start = frame.encoded.baseAddress, first <= last
    {
      content = (first - start)..<(last - start)
      state = .waiting
    }
  }

  /// The same protocol, request and response, byte for byte.
  func hasContent(of other: HeldFrame) -> Bool { encoded[content] == other.encoded[other.content] }

  /// Takes `server`, of the flow `flow`, as the server's view of this exchange.
  mutating func merge(_ server: HeldFrame, of flow: UInt64) {
    let view = ServerView(
      flow: flow, start: server.times.start, end: server.times.end, firstByte: server.firstByte,
      process: server.process)
    state = .merged(view, flags: server.flags)
  }

  /// Writes what there is to write now that its turn has come.
  func write(to output: inout Output) {
    encoded.withUnsafeBytes { bytes in
      // It was read before, so it can be read again.
      guard state != .taken, let frame = try? Frame(encoded: bytes, streamOffset: 0) else { return }
      guard case .merged(let view, let serverFlags) = state, var exchange = try? ExchangeFrame(frame) else {
        return output.forward(frame)
      }
      var map = ByteBuffer(capacityBytes: 64)
      view.append(to: &map)
      exchange.server = map.bytes
      // What one side alone has seen of it is true of the whole.
      let united = flags + serverFlags.filter { !flags.contains($0) }
      var array = ByteBuffer(capacityBytes: 16)
      array.appendArrayHead(united.count)
      for flag in united { array.appendText(flag) }
      exchange.flags = array.bytes
      exchange.append(to: &output)
    }
  }
}

extension ExchangeFrame {
  fileprivate var flagNames: [String] {
    var reader = CBORReader(flags, streamOffset: 0)
    // An exchange that was read has strings there.
    return (0..<((try? reader.readArrayHead()) ?? 0)).compactMap { _ in try? reader.readText() }
  }
}
