// Replies: every type of RESP2 and RESP3 (the RESP specification of redis.io), written as CBOR while they arrive.
import TapWire

/// What a finished message of the server is.
enum ReplyKind: Sendable {
  case reply
  /// `>`: out of band, an answer to nothing.
  case push
}

/// Reads the messages of the server on one flow, across any split, and writes each as the response map of an exchange.
///
/// A push may stand inside of an aggregate (redis 7.0 puts one into the array of EXEC). It is no element: it is
/// delivered by itself, before the message around it.
struct ReplyParser: ~Copyable {
  enum State {
    case type
    case line
    case number
    case body
  }

  /// The message that is coming, or the last one.
  var writer = MessageWriter()
  /// A message that a push interrupts waits here.
  var interruptedWriter = MessageWriter()
  var interruptedLevels: [OpenAggregate] = []
  var interruptedHasAttributes = false
  var isInterrupting = false
  var mustResume = false
  var state = State.type
  var type: UInt8 = 0
  var number = NumberLine()
  var line = TextLine()
  var body = BulkBody(length: 0)
  var isStreamedString = false
  /// From the outside in.
  var levels: [OpenAggregate] = []
  var hasAttributes = false
  /// The message is too large even with its values cut: elements are counted only.
  var isDropping = false
  /// Whether the value that is coming is written.
  var isStoring = true
  /// Whether the last message is an error.
  var isError = false
  /// Of an array of so many elements at the top, how many there really will be; nil where it says so itself.
  var topElements: (announced: Int64, actual: Int64)?
  /// What the last message is, or the one that is coming.
  var kind = ReplyKind.reply

  enum Outcome {
    case needsMore
    /// A message is finished: `writer.bytes` holds it.
    case message(ReplyKind)
  }

  /// Whether the parser stands between two messages.
  var isAtBoundary: Bool {
    state == .type && levels.isEmpty && !hasAttributes && !isInterrupting && !isStreamedString
  }

  /// Reads on from `position` to the end of a message or of the bytes.
  @inline(__always)
  mutating func next(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) throws(Malformed) -> Outcome {
    if mustResume { resume() }
    while true {
      switch state {
      case .type:
        guard position < bytes.count else { return .needsMore }
        if takeWhole(bytes, &position) { return .message(.reply) }
        if try takeWholeElement(bytes, &position) {
          if finishValue(isStored: isStoring) { return finished() }
          continue
        }
        type = bytes[position]
        position &+= 1
        try beginValue()
      case .number:
        guard position < bytes.count else { return .needsMore }
        if bytes[position] == UInt8(ascii: "?"), number.isAtStart {
          state = .line
          continue
        }
        guard let length = try number.read(bytes, &position) else { return .needsMore }
        number = NumberLine()
        if try takeLength(length) { return finished() }
      case .line:
        guard let content = line.read(bytes, &position) else { return .needsMore }
        guard content.hasReturn else { throw Malformed() }
        if try takeLine(content) { return finished() }
      case .body:
        let part = body.readContent(bytes, &position)
        if !part.isEmpty, isStoring { writer.appendString(part) }
        guard try body.readEnd(bytes, &position) else { return .needsMore }
        state = .type
        if isStreamedString { continue }
        endBulk()
        if finishValue(isStored: isStoring) { return finished() }
      }
    }
  }

  @inline(__always)
  private mutating func finished() -> Outcome {
    hasAttributes = false
    if isInterrupting { mustResume = true }
    return .message(kind)
  }

  // MARK: Values

  /// Whether the value that is coming stands in no aggregate.
  var isTop: Bool { levels.isEmpty }

  /// A type byte has been read: decides what its line is, and whether there is room for the value.
  @inline(__always)
  private mutating func beginValue() throws(Malformed) {
    if isStreamedString {
      guard type == UInt8(ascii: ";") else { throw Malformed() }
    } else if isTop {
      if !hasAttributes { beginMessage(.reply) }
    } else {
      try beginElement()
    }
    switch type {
    case UInt8(ascii: "$"), UInt8(ascii: "*"), UInt8(ascii: "%"), UInt8(ascii: "~"), UInt8(ascii: ">"),
      UInt8(ascii: "="), UInt8(ascii: "!"), UInt8(ascii: "|"):
      state = .number
    case UInt8(ascii: ";") where isStreamedString:
      state = .number
    case UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: ":"), UInt8(ascii: ","), UInt8(ascii: "("),
      UInt8(ascii: "#"), UInt8(ascii: "_"):
      state = .line
    case UInt8(ascii: ".") where !isTop:
      state = .line
    default:
      throw Malformed()
    }
  }

  mutating func beginMessage(_ kind: ReplyKind) {
    beginEmptyMessage(kind)
    // The number of members is set when the message is finished; there are fewer than 24.
    writer.bytes.append(CBORMajor.map.rawValue | 2)
  }

  private mutating func beginEmptyMessage(_ kind: ReplyKind) {
    self.kind = kind
    isError = false
    isDropping = false
    isStoring = true
    writer.bytes.removeAll()
    writer.beginMessage()
  }

  /// `takeWhole` has found a reply, whose whole map it writes.
  @inline(__always)
  mutating func beginWhole() { beginEmptyMessage(.reply) }

  mutating func beginElement() throws(Malformed) {
    if type == UInt8(ascii: ">") {
      guard !isInterrupting else { throw Malformed() }
      interrupt()
      return
    }
    let level = levels[levels.count - 1]
    if !isDropping, writer.messageBytes > writer.limitBytes - 64, !level.mustStore {
      isDropping = true
      writer.noteCut()
    }
    isStoring = !isDropping || level.mustStore
  }

  /// The number behind a type byte; returns whether the message is finished.
  private mutating func takeLength(_ length: Int64) throws(Malformed) -> Bool {
    state = .type
    switch type {
    case UInt8(ascii: "*"), UInt8(ascii: "~"), UInt8(ascii: "%"), UInt8(ascii: ">"), UInt8(ascii: "|"):
      if length < 0 {
        // `*-1`; no server sends another negative count, and no client minds.
        guard type == UInt8(ascii: "*") else { throw Malformed() }
        return appendNull()
      }
      return try beginAggregate(length)
    case UInt8(ascii: ";"):
      guard length >= 0 else { throw Malformed() }
      if length == 0 {
        isStreamedString = false
        if isStoring { writer.endStreamedString() }
        return finishValue(isStored: isStoring)
      }
      if isStoring { writer.extendString(by: Int(length)) }
      body = BulkBody(length: Int(length))
      state = .body
      return false
    default:
      if length < 0 {
        guard length == -1, type == UInt8(ascii: "$") else { throw Malformed() }
        return appendNull()
      }
      beginBulk(Int(length))
      return false
    }
  }
}
