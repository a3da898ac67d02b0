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
  /// An aggregate that is open.
  struct Level {
    /// Elements that are still to come; keys and values of a map count one each. `Int64.max` where streamed.
    var left: Int64
    /// Elements in full and those written; equal unless the message is too large.
    var full: Int64
    var stored: Int64
    /// Which of the writer's open heads is its own; negative where the aggregate is not written.
    var head: Int
    var major: CBORMajor
    var isStreamed: Bool
    /// An attribute is complete when its map is; then the value that it belongs to follows.
    var isAttribute: Bool
    /// The attributes of an element are written, and the element must follow.
    var isAwaitingValue = false

    /// Whether the element that comes next must be written, however large the message is: a key or attributes stand
    /// before it already.
    var mustStore: Bool { head >= 0 && (isAwaitingValue || major == .map && stored & 1 == 1) }
  }

  private enum State {
    case type
    case line
    case number
    case body
  }

  /// The message that is coming, or the last one.
  var writer = MessageWriter()
  /// A message that a push interrupts waits here.
  private var interruptedWriter = MessageWriter()
  private var interruptedLevels: [Level] = []
  private var isInterrupting = false
  private var mustResume = false
  private var state = State.type
  var type: UInt8 = 0
  private var number = NumberLine()
  private var line = TextLine()
  private var body = BulkBody(length: 0)
  private(set) var isStreamedString = false
  private(set) var levels: [Level] = []
  private var hasAttributes = false
  /// The message is too large even with its values cut: elements are counted only.
  private var isDropping = false
  /// Whether the value that is coming is written.
  private(set) var isStoring = true
  /// Whether the last message is an error.
  private(set) var isError = false
  /// Of an array of so many elements at the top, how many there really will be; nil where it says so itself.
  var topElements: (announced: Int64, actual: Int64)?
  /// What the last message is, or the one that is coming.
  private(set) var kind = ReplyKind.reply

  enum Outcome {
    case needsMore
    /// A message is finished: `writer.bytes` holds it.
    case message(ReplyKind)
  }

  /// Whether the parser stands between two messages.
  var isAtBoundary: Bool { state == .type && levels.isEmpty && !hasAttributes && !isInterrupting }

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

  private var isTop: Bool { levels.isEmpty }

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

  private mutating func beginMessage(_ kind: ReplyKind) {
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

  /// A push begins inside of an aggregate.
  private mutating func interrupt() {
    swap(&writer, &interruptedWriter)
    swap(&levels, &interruptedLevels)
    isInterrupting = true
    beginMessage(.push)
  }

  private mutating func resume() {
    swap(&writer, &interruptedWriter)
    swap(&levels, &interruptedLevels)
    interruptedLevels.removeAll(keepingCapacity: true)
    isInterrupting = false
    mustResume = false
    kind = .reply
    isError = false
    isDropping = levels.last.map { $0.head < 0 } ?? false
  }

  /// Whether the push that is complete stands between the elements of an array at the top.
  var isBetweenElements: Bool { mustResume && interruptedLevels.count == 1 }

  /// The push that is complete is an element of the array around it; returns whether the array is complete.
  mutating func adoptPush() -> Bool {
    let head = 1 + ResponseHead.push.utf8CodeUnitCount
    let element = Array(writer.bytes.bytes.dropFirst(writer.messageStart + head))
    resume()
    isStoring = !isDropping
    if isStoring { element.withUnsafeBytes { writer.bytes.append($0) } }
    guard finishElement(isStored: isStoring) else { return false }
    hasAttributes = false
    return true
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

  @inline(__always)
  private mutating func beginBulk(_ length: Int) {
    body = BulkBody(length: length)
    state = .body
    guard isStoring else { return }
    if isTop {
      switch type {
      case UInt8(ascii: "="): writer.bytes.append(ResponseHead.verbatimString)
      case UInt8(ascii: "!"):
        writer.bytes.append(ResponseHead.bulkError)
        isError = true
      default: writer.bytes.append(ResponseHead.bulkString)
      }
    } else if type == UInt8(ascii: "!") {
      writer.bytes.appendTag(WireTag.error)
    }
    writer.beginString(length)
  }

  @inline(__always)
  private mutating func endBulk() {
    guard isStoring else { return }
    if type == UInt8(ascii: "=") {
      if writer.endVerbatim(isTop: isTop) { writer.bytes[writer.messageStart] += 1 }
    } else {
      writer.endString()
    }
  }

  private mutating func appendNull() -> Bool {
    if isStoring {
      if isTop { writer.bytes.append(ResponseHead.null) }
      writer.bytes.appendNull()
    }
    return finishValue(isStored: isStoring)
  }

  // MARK: Aggregates

  private mutating func beginAggregate(_ count: Int64, isStreamed: Bool = false) throws(Malformed) -> Bool {
    guard levels.count < RESPLimits.depth else { throw Malformed() }
    var count = count
    if isTop, let topElements, type == UInt8(ascii: "*"), count == topElements.announced { count = topElements.actual }
    let isMap = type == UInt8(ascii: "%") || type == UInt8(ascii: "|")
    let isAttribute = type == UInt8(ascii: "|")
    let (items, overflow) = count.multipliedReportingOverflow(by: isMap ? 2 : 1)
    guard !overflow else { throw Malformed() }
    if isTop { try writeTopHead() } else if isStoring { writeNestedTag() }
    let major: CBORMajor = isMap ? .map : .array
    let position = writer.bytes.count
    if isStoring, !isStreamed { writer.bytes.appendHead(major, UInt64(count)) }
    if items == 0, !isStreamed {
      if isAttribute {
        awaitValue(isStored: isStoring)
        return false
      }
      return finishValue(isStored: isStoring)
    }
    let head = isStoring ? writer.openHeads.count : -1
    if isStoring { writer.openHeads.append(position) }
    levels.append(
      Level(
        left: isStreamed ? .max : items, full: isStreamed ? 0 : items, stored: 0, head: head, major: major,
        isStreamed: isStreamed, isAttribute: isAttribute))
    return false
  }

  private mutating func writeTopHead() throws(Malformed) {
    switch type {
    case UInt8(ascii: "%"): writer.bytes.append(ResponseHead.map)
    case UInt8(ascii: "~"): writer.bytes.append(ResponseHead.set)
    case UInt8(ascii: ">"):
      // Attributes belong to values, and a push is none.
      guard !hasAttributes else { throw Malformed() }
      kind = .push
      writer.bytes.append(ResponseHead.push)
    case UInt8(ascii: "|"):
      guard !hasAttributes else { throw Malformed() }
      hasAttributes = true
      writer.bytes[writer.messageStart] += 1
      writer.bytes.appendText("attributes" as StaticString)
    default: writer.bytes.append(ResponseHead.array)
    }
  }

  private mutating func writeNestedTag() {
    if type == UInt8(ascii: "~") { writer.bytes.appendTag(WireTag.set) }
    if type == UInt8(ascii: "|") {
      writer.bytes.appendTag(WireTag.attributes)
      writer.bytes.appendArrayHead(2)
    }
  }

  /// A value is complete, and with it perhaps aggregates around it; returns whether the message is.
  @inline(__always)
  private mutating func finishValue(isStored: Bool) -> Bool {
    if levels.isEmpty { return true }
    return finishElement(isStored: isStored)
  }

  private mutating func awaitValue(isStored: Bool) {
    if let index = levels.indices.last { levels[index].isAwaitingValue = isStored }
  }

  private mutating func finishElement(isStored: Bool) -> Bool {
    var isStored = isStored
    while let index = levels.indices.last {
      levels[index].isAwaitingValue = false
      if isStored { levels[index].stored &+= 1 }
      if levels[index].isStreamed {
        levels[index].full &+= 1
        return false
      }
      levels[index].left &-= 1
      if levels[index].left > 0 { return false }
      let level = levels.removeLast()
      isStored = level.head >= 0
      close(level)
      // The value that the attribute belongs to is still to come.
      if level.isAttribute {
        awaitValue(isStored: isStored)
        return false
      }
    }
    return true
  }

  /// Sets the head of an aggregate whose number of elements differs from what the head says, or had none yet.
  private mutating func close(_ level: Level) {
    guard level.head >= 0, let position = writer.openHeads.popLast() else { return }
    let unit: Int64 = level.major == .map ? 2 : 1
    if level.isStreamed {
      writer.bytes.replaceSubrange(position..<position, withHead: level.major, UInt64(level.full / unit))
    }
    if level.stored < level.full {
      writer.bytes.replaceArrayHead(
        at: position, full: level.full / unit, stored: level.stored / unit, major: level.major)
    }
  }

  // MARK: Lines

  /// The text behind a type byte; returns whether the message is finished.
  private mutating func takeLine(_ content: TextLine.Content) throws(Malformed) -> Bool {
    state = .type
    switch type {
    case UInt8(ascii: "+"), UInt8(ascii: "-"):
      appendTextLine(content)
    case UInt8(ascii: ":"), UInt8(ascii: "("):
      guard content.fullLength == content.bytes.count, isDecimal(content.bytes) else { throw Malformed() }
      if isStoring { try appendInteger(content.bytes) }
    case UInt8(ascii: ","):
      guard content.fullLength < 512, let value = parseDouble(content.bytes) else { throw Malformed() }
      guard isStoring else { break }
      if isTop {
        writer.bytes.append(ResponseHead.double)
        writer.bytes.appendText(content.bytes)
      } else {
        writer.bytes.appendDouble(value)
      }
    case UInt8(ascii: "#"):
      guard content.bytes.count == 1, let letter = content.bytes.first, letter == 0x74 || letter == 0x66 else {
        throw Malformed()
      }
      guard isStoring else { break }
      if isTop {
        writer.bytes.append(ResponseHead.boolean)
        if letter == 0x74 { writer.bytes.append("dtrue") } else { writer.bytes.append("efalse") }
      } else {
        writer.bytes.appendBool(letter == 0x74)
      }
    case UInt8(ascii: "_"):
      guard content.bytes.isEmpty else { throw Malformed() }
      return appendNull()
    case UInt8(ascii: "."):
      return try endStreamedAggregate(content)
    default:
      guard content.bytes.count == 1, content.bytes.first == UInt8(ascii: "?") else { throw Malformed() }
      return try beginStreamed()
    }
    return finishValue(isStored: isStoring)
  }

  @inline(__always)
  private mutating func appendTextLine(_ content: TextLine.Content) {
    guard isStoring else { return }
    let isErrorLine = type == UInt8(ascii: "-")
    if isTop {
      writer.bytes.append(isErrorLine ? ResponseHead.error : ResponseHead.simpleString)
      isError = isErrorLine
    } else {
      writer.bytes.appendTag(isErrorLine ? WireTag.error : WireTag.simpleString)
    }
    writer.beginString(content.fullLength)
    writer.appendString(content.bytes)
    writer.endString()
  }

  private mutating func appendInteger(_ digits: UnsafeRawBufferPointer) throws(Malformed) {
    if isTop {
      writer.bytes.append(type == UInt8(ascii: ":") ? ResponseHead.integer : ResponseHead.bigNumber)
      writer.bytes.appendText(digits)
    } else if let value = parseInteger(digits), type == UInt8(ascii: ":") {
      writer.bytes.appendInteger(value)
    } else {
      writer.bytes.appendBignum(decimal: digits)
    }
  }

  // MARK: Streamed strings and aggregates

  private mutating func beginStreamed() throws(Malformed) -> Bool {
    switch type {
    case UInt8(ascii: "$"):
      if isTop { writer.bytes.append(ResponseHead.bulkString) }
      if isStoring { writer.beginString(0) }
      isStreamedString = true
      return false
    case UInt8(ascii: "*"), UInt8(ascii: "%"), UInt8(ascii: "~"):
      return try beginAggregate(0, isStreamed: true)
    default:
      throw Malformed()
    }
  }

  private mutating func endStreamedAggregate(_ content: TextLine.Content) throws(Malformed) -> Bool {
    guard content.bytes.isEmpty, let level = levels.last, level.isStreamed, !level.isAwaitingValue,
      level.major != .map || level.full & 1 == 0
    else { throw Malformed() }
    levels.removeLast()
    close(level)
    return finishValue(isStored: level.head >= 0)
  }

  /// Cuts values of the message that is coming.
  mutating func makeRoom(leavingBytes target: Int) {
    let isStringOpen = isStoring && (state == .body || isStreamedString)
    if !isStringOpen { writer.closeString() }
    writer.makeRoom(leavingBytes: target)
    if writer.messageBytes > target { writer.stopGrowing() }
  }

  /// What is kept of messages that are not finished.
  var heldBytes: Int { writer.bytes.count + interruptedWriter.bytes.count }

  // MARK: Losses

  /// Steps over missing bytes if they are known to lie inside a bulk string.
  mutating func skip(_ length: UInt64) -> Bool {
    if mustResume { resume() }
    guard state == .body else { return false }
    let isInContent = body.contentLeft > 0
    guard body.skip(length) else { return false }
    if isStoring, isInContent { writer.loseRestOfString() }
    writer.noteGap()
    return true
  }

  /// Ends the message that is coming where it stands; returns whether enough of it is known to show it.
  mutating func endIncomplete() -> Bool {
    if mustResume { resume() }
    defer { startOver() }
    let hasString = state == .body && isStoring
    guard hasString || !levels.isEmpty, !isInterrupting else { return false }
    if hasString {
      writer.loseRestOfString()
      if isStreamedString { writer.endStreamedString() } else { endBulk() }
      if let index = levels.indices.last {
        levels[index].stored += 1
        levels[index].isAwaitingValue = false
      }
    }
    // An attribute without its value shows nothing.
    guard !levels.contains(where: \.isAttribute), !isStreamedString || hasString else { return false }
    while var level = levels.popLast() {
      if level.isAwaitingValue {
        writer.bytes.appendNull()
        level.stored += 1
      }
      if level.head >= 0, level.major == .map, level.stored & 1 == 1 {
        writer.bytes.appendNull()
        level.stored += 1
      }
      if level.isStreamed { level.full = level.stored }
      close(level)
      if level.head >= 0, let index = levels.indices.last {
        levels[index].stored += 1
        levels[index].isAwaitingValue = false
      }
    }
    return true
  }

  /// Stands at a boundary again.
  mutating func startOver() {
    if isInterrupting { resume() }
    state = .type
    number = NumberLine()
    line.reset()
    levels.removeAll(keepingCapacity: true)
    isStreamedString = false
    hasAttributes = false
    isDropping = false
  }
}

/// The beginnings of response maps: `"response_type": …, "response_value":`.
///
/// The head of a CBOR text shorter than 24 bytes is 0x60 + its length, which is a letter: m is 13, n is 14.
enum ResponseHead {
  static let simpleString: StaticString = "mresponse_typemsimple_stringnresponse_value"
  static let error: StaticString = "mresponse_typeeerrornresponse_value"
  static let integer: StaticString = "mresponse_typegintegernresponse_value"
  static let bulkString: StaticString = "mresponse_typekbulk_stringnresponse_value"
  static let array: StaticString = "mresponse_typeearraynresponse_value"
  static let null: StaticString = "mresponse_typednullnresponse_value"
  static let boolean: StaticString = "mresponse_typegbooleannresponse_value"
  static let double: StaticString = "mresponse_typefdoublenresponse_value"
  static let bigNumber: StaticString = "mresponse_typejbig_numbernresponse_value"
  static let bulkError: StaticString = "mresponse_typejbulk_errornresponse_value"
  static let verbatimString: StaticString = "mresponse_typeoverbatim_stringnresponse_value"
  static let map: StaticString = "mresponse_typecmapnresponse_value"
  static let set: StaticString = "mresponse_typecsetnresponse_value"
  static let push: StaticString = "mresponse_typedpushnresponse_value"
  static let snapshot: StaticString = "mresponse_typecrdbnresponse_value"
}
