// Requests: arrays of bulk strings, or inline commands, as redis-server's own parser takes them (networking.c).
import TapWire

/// Reads the commands of one flow, across any split, and writes each as the request map of an exchange.
struct CommandParser: ~Copyable {
  private enum State {
    case start
    case count
    case lengthMark
    case length
    case body
    case bodyEnd
    case inline
  }

  private var state = State.start
  /// Finished requests that wait for their reply, and the one that is coming.
  var writer = MessageWriter()
  /// The name of the command that is finished, or coming.
  private(set) var name = CommandName()
  private(set) var argumentCount: Int64 = 0
  private var number = NumberLine()
  private var line = TextLine()
  private var argumentsLeft: Int64 = 0
  private var bodyLeft = 0
  /// Arguments that found no room any more are counted only.
  private var storedArguments: Int64 = 0
  private var isDropping = false

  /// What the parser stands before.
  enum Outcome {
    case needsMore
    /// A command is finished: it lies from `writer.messageStart` to the end of `writer.bytes`.
    case command
  }

  /// Whether the parser stands between two commands.
  var isAtBoundary: Bool { state == .start }

  /// Reads on from `position` to the end of a command or of the bytes.
  @inline(__always)
  mutating func next(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) throws(Malformed) -> Outcome {
    while true {
      switch state {
      case .start:
        guard position < bytes.count else { return .needsMore }
        let isArray = bytes[position] == UInt8(ascii: "*")
        if isArray, takeWhole(bytes, &position) { return .command }
        writer.beginMessage()
        if isArray {
          position &+= 1
          state = .count
        } else {
          state = .inline
        }
      case .count:
        guard let count = try number.read(bytes, &position) else { return .needsMore }
        number = NumberLine()
        guard count <= RESPLimits.arguments else { throw Malformed() }
        // An empty array, or one of negative size, is no command and has no reply.
        if count <= 0 {
          state = .start
          continue
        }
        argumentsLeft = count
        argumentCount = count - 1
        state = .lengthMark
      case .lengthMark:
        guard position < bytes.count else { return .needsMore }
        guard bytes[position] == UInt8(ascii: "$") else { throw Malformed() }
        position &+= 1
        state = .length
      case .length:
        guard let length = try number.read(bytes, &position) else { return .needsMore }
        number = NumberLine()
        guard length >= 0 else { throw Malformed() }
        begin(argument: Int(length))
        state = .body
      case .body:
        let available = min(bodyLeft, bytes.count &- position)
        if available > 0 {
          let part = UnsafeRawBufferPointer(rebasing: bytes[position..<position &+ available])
          if !isDropping { writer.appendString(part) }
          position &+= available
          bodyLeft &-= available
        }
        guard bodyLeft == 0 else { return .needsMore }
        bodyLeft = 2
        state = .bodyEnd
      case .bodyEnd:
        while bodyLeft > 0 {
          guard position < bytes.count else { return .needsMore }
          guard bytes[position] == (bodyLeft == 2 ? 0x0d : 0x0a) else { throw Malformed() }
          position &+= 1
          bodyLeft &-= 1
        }
        if endArgument() { return .command }
      case .inline:
        guard let content = line.read(bytes, &position) else { return .needsMore }
        state = .start
        if try finishInline(content) { return .command }
      }
    }
  }

  /// `takeWhole` has taken a command.
  @inline(__always)
  mutating func finishWhole(name: CommandName, arguments: Int) {
    self.name = name
    argumentCount = Int64(arguments)
  }

  private mutating func begin(argument length: Int) {
    bodyLeft = length
    if argumentsLeft == argumentCount &+ 1 {
      beginRequest()
    } else if !isDropping, writer.messageBytes > writer.limitBytes - 64 {
      isDropping = true
    }
    if !isDropping { writer.beginString(length) }
  }

  /// `{"command": name, "args": […]}`: the name's string follows.
  private mutating func beginRequest() {
    isDropping = false
    storedArguments = 0
    writer.bytes.appendMapHead(2)
    writer.bytes.appendText("command" as StaticString)
  }

  private mutating func endName() {
    name = writer.endName()
    writer.bytes.appendText("args" as StaticString)
    writer.bytes.appendHead(.array, UInt64(argumentCount))
  }

  /// Returns whether the command is finished.
  @inline(__always)
  private mutating func endArgument() -> Bool {
    if argumentsLeft == argumentCount &+ 1 {
      endName()
    } else if !isDropping {
      writer.endString()
      storedArguments &+= 1
    }
    argumentsLeft &-= 1
    state = .lengthMark
    guard argumentsLeft == 0 else { return false }
    if isDropping { markCutArguments() }
    state = .start
    return true
  }

  /// Says how many arguments there were of which only the first are kept.
  private mutating func markCutArguments() {
    writer.noteCut()
    let message = UnsafeRawBufferPointer(rebasing: writer.bytes.bytes[writer.messageStart...])
    var reader = CBORReader(message, streamOffset: 0)
    // `{"command": name, "args": `, written here a moment ago: reading it cannot fail.
    guard (try? reader.readMapHead()) != nil, (try? reader.readItem()) != nil, (try? reader.readItem()) != nil,
      (try? reader.readItem()) != nil
    else { return }
    let head = writer.bytes.count - reader.rest.count
    writer.bytes.replaceArrayHead(at: head, full: argumentCount, stored: storedArguments)
  }

  private mutating func finishInline(_ content: TextLine.Content) throws(Malformed) -> Bool {
    // redis-server closes a connection whose line is longer than 64 KiB, or has unbalanced quotes.
    guard content.fullLength == content.bytes.count, let words = InlineCommand.split(content.bytes) else {
      throw Malformed()
    }
    guard let first = words.first else { return false }
    argumentCount = Int64(words.count - 1)
    beginRequest()
    append(word: first)
    endName()
    for word in words.dropFirst() {
      append(word: word)
      writer.endString()
    }
    return true
  }

  private mutating func append(word: [UInt8]) {
    writer.beginString(word.count)
    word.withUnsafeBytes { writer.appendString($0) }
  }

  /// Forgets finished requests, or parts of them.
  mutating func removeFinished(from start: Int, to end: Int) {
    writer.removeFinished(from: start, to: end)
  }

  /// Cuts values of the command that is coming.
  mutating func makeRoom(leavingBytes target: Int) {
    if isDropping || state != .body && state != .bodyEnd { writer.closeString() }
    writer.makeRoom(leavingBytes: target)
    if writer.messageBytes > target { writer.stopGrowing() }
  }

  // MARK: Losses

  /// Steps over missing bytes if they are known to lie inside an argument.
  mutating func skip(_ length: UInt64) -> Bool {
    guard state == .body || state == .bodyEnd, length <= UInt64(bodyLeft) + (state == .body ? 2 : 0) else {
      return false
    }
    if !isDropping, argumentsLeft <= argumentCount || state == .body { writer.loseRestOfString() }
    let inBody = min(Int(length), bodyLeft)
    bodyLeft -= inBody
    if state == .body, bodyLeft == 0 {
      bodyLeft = 2 - (Int(length) - inBody)
      state = .bodyEnd
    }
    return true
  }

  /// Ends the command that is coming where it stands; returns whether enough of it is known to show it.
  mutating func endIncomplete() -> Bool {
    defer { startOver() }
    let hasName = state != .start && state != .count && state != .inline && argumentsLeft <= argumentCount
    guard hasName else {
      writer.dropMessage()
      return false
    }
    if state == .body || state == .bodyEnd, !isDropping {
      writer.loseRestOfString()
      writer.endString()
      storedArguments += 1
    }
    if storedArguments < argumentCount { markCutArguments() }
    return true
  }

  /// The map of the finished command. Valid until the writer changes.
  var message: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: writer.bytes.bytes[writer.messageStart...]) }

  /// Whether no byte of the name of the finished command is missing.
  var isNameWhole: Bool {
    let message = UnsafeRawBufferPointer(rebasing: writer.bytes.bytes[writer.messageStart...])
    var reader = CBORReader(message, streamOffset: 0)
    guard (try? reader.readMapHead()) != nil, (try? reader.readItem()) != nil else { return false }
    return (try? reader.readString()) != nil
  }

  /// Stands at a boundary again.
  mutating func startOver() {
    state = .start
    number = NumberLine()
    line.reset()
    isDropping = false
  }
}

/// The name in a request map, in upper case; nil where a part of it is missing.
func requestName(_ map: UnsafeRawBufferPointer) -> String? {
  var reader = CBORReader(map, streamOffset: 0)
  guard (try? reader.readMapHead()) != nil, (try? reader.readItem()) != nil else { return nil }
  return try? reader.readText()
}

/// An argument in a request map; nil where it has no such, or a part of it is missing.
func requestArgument(_ map: UnsafeRawBufferPointer, _ index: Int) -> String? {
  requestString(map, index).map { String(decoding: $0, as: UTF8.self) }
}

/// The same, as its bytes.
func requestString(_ map: UnsafeRawBufferPointer, _ index: Int) -> [UInt8]? {
  requestReader(map, index).flatMap { reader in
    var reader = reader
    return (try? reader.readString()).map { Array($0) }
  }
}

/// Stands before an argument in a request map.
private func requestReader(_ map: UnsafeRawBufferPointer, _ index: Int) -> CBORReader? {
  var reader = CBORReader(map, streamOffset: 0)
  guard (try? reader.readMapHead()) != nil, (try? reader.readItem()) != nil, (try? reader.readItem()) != nil,
    (try? reader.readItem()) != nil, let count = try? reader.readArrayHead(), index < count
  else { return nil }
  for _ in 0..<index where (try? reader.readItem()) == nil { return nil }
  return reader
}

/// A command's name in upper case, as far as it is compared: no command that is treated specially is longer.
struct CommandName: Hashable {
  var low: UInt64 = 0
  var high: UInt64 = 0
  var length = 0

  init() {}

  init(low: UInt64, length: Int) {
    self.low = low
    self.length = length
  }

  init(_ text: StaticString) {
    self.init(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  /// `text` is in upper case.
  init(_ text: String) {
    var text = text
    self = text.withUTF8 { CommandName(UnsafeRawBufferPointer($0)) }
  }

  @inline(__always)
  init(_ bytes: UnsafeRawBufferPointer) {
    length = bytes.count
    var position = 0
    while position < bytes.count, position < 8 {
      low |= UInt64(bytes[position]) << UInt64(position &* 8)
      position &+= 1
    }
    while position < bytes.count, position < 16 {
      high |= UInt64(bytes[position]) << UInt64((position &- 8) &* 8)
      position &+= 1
    }
  }
}
