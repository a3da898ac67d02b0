// Requests: arrays of bulk strings, or inline commands, as redis-server's own parser takes them (networking.c).
import TapWire

/// Reads the commands of one flow, across any split, and writes each as the request map of an exchange.
struct CommandParser: ~Copyable {
  enum State {
    case start
    case count
    case lengthMark
    case length
    case body
    case inline
    /// An inline command that breaks the protocol, of which all there is to show is written.
    case brokenInline
  }

  var state = State.start
  /// Finished requests that wait for their reply, and the one that is coming.
  var writer = MessageWriter()
  /// The name of the command that is finished, or coming.
  var name = CommandName()
  var argumentCount: Int64 = 0
  private var number = NumberLine()
  var line = TextLine()
  var argumentsLeft: Int64 = 0
  var body = BulkBody(length: 0)
  /// Arguments that found no room any more are counted only.
  var storedArguments: Int64 = 0
  var isDropping = false
  /// The bytes before the name of the command that is coming, in the input before this one, and where they begin or go on in
  /// this one: `CommandParser+Unfinished.swift` shows them where no name follows.
  var opening: [UInt8] = []
  var openingStart = 0
  /// What cannot be trusted of a line that is not whole, until the parser starts over.
  var damage = Damage.none

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
    openingStart = position
    while true {
      switch state {
      case .start:
        guard position < bytes.count else { return .needsMore }
        beginOpening(at: position)
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
        if isNameNext { keepOpening(bytes, to: position) }
        begin(argument: Int(length))
        state = .body
      case .body:
        let part = body.readContent(bytes, &position)
        if !part.isEmpty, !isDropping { writer.appendString(part) }
        guard try body.readEnd(bytes, &position) else { return .needsMore }
        if endArgument() { return .command }
      case .inline:
        guard let content = line.read(bytes, &position) else { return .needsMore }
        state = .start
        if try finishInline(content) { return .command }
      case .brokenInline: return .needsMore
      }
    }
  }

  /// `takeWhole` has taken a command.
  @inline(__always)
  mutating func finishWhole(name: CommandName, arguments: Int) {
    self.name = name
    argumentCount = Int64(arguments)
  }

  /// Whether the argument that is coming is the command's name.
  var isNameNext: Bool { argumentsLeft == argumentCount &+ 1 }

  private mutating func begin(argument length: Int) {
    body = BulkBody(length: length)
    if isNameNext {
      beginRequest()
    } else if !isDropping, writer.messageBytes > writer.limitBytes - 64 {
      isDropping = true
    }
    if !isDropping { writer.beginString(length) }
  }

  /// `{"command": name, "args": […]}`: the name's string follows.
  mutating func beginRequest() {
    isDropping = false
    storedArguments = 0
    writer.bytes.appendMapHead(2)
    writer.bytes.appendText("command" as StaticString)
  }

  mutating func endName() {
    name = writer.endName()
    beginArguments()
  }

  mutating func beginArguments() {
    writer.bytes.appendText("args" as StaticString)
    writer.openHeads.append(writer.bytes.count)
    writer.bytes.appendHead(.array, UInt64(argumentCount))
  }

  /// Returns whether the command is finished.
  @inline(__always)
  private mutating func endArgument() -> Bool {
    if isNameNext {
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
  mutating func markCutArguments() {
    writer.noteCut()
    guard let head = writer.openHeads.last else { return }
    writer.bytes.replaceArrayHead(at: head, full: argumentCount, stored: storedArguments)
  }

  private mutating func finishInline(_ content: TextLine.Content) throws(Malformed) -> Bool {
    // redis-server closes a connection whose line is longer than 64 KiB, or has unbalanced quotes.
    guard content.fullLength == content.bytes.count, let words = InlineCommand.split(content.bytes) else {
      writeBroken(content)
      throw Malformed()
    }
    guard !words.isEmpty else { return false }
    write(words: words)
    return true
  }

  /// Words of a line as a request map; there is at least one, and of the last so many bytes more than are there.
  mutating func write(words: [[UInt8]], droppedBytes: Int = 0) {
    argumentCount = Int64(words.count - 1)
    beginRequest()
    for (index, word) in words.enumerated() {
      append(word: word, droppedBytes: index == words.count - 1 ? droppedBytes : 0)
      if index == 0 { endName() } else { writer.endString() }
    }
  }

  mutating func append(word: [UInt8], droppedBytes: Int) {
    writer.beginString(word.count + droppedBytes)
    word.withUnsafeBytes { writer.appendString($0) }
  }

  /// Forgets finished requests, or parts of them.
  mutating func removeFinished(from start: Int, to end: Int) {
    writer.removeFinished(from: start, to: end)
  }

  /// Cuts values of the command that is coming.
  mutating func makeRoom(leavingBytes target: Int) {
    if isDropping || state != .body { writer.closeString() }
    writer.makeRoom(leavingBytes: target)
    if writer.messageBytes > target { writer.stopGrowing() }
  }

  // MARK: Losses

  /// Steps over missing bytes if they are known to lie inside an argument.
  mutating func skip(_ length: UInt64) -> Bool {
    guard state == .body else { return false }
    let isInContent = body.contentLeft > 0
    guard body.skip(length) else { return false }
    if !isDropping, argumentsLeft <= argumentCount || isInContent { writer.loseRestOfString() }
    return true
  }

  /// The map of the finished command. Valid until the writer changes.
  var message: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: writer.bytes.bytes[writer.messageStart...]) }

  /// Whether no byte of the name of the finished command is missing.
  var isNameWhole: Bool { damage != .name && RequestMap(message)?.nameBytes != nil }

  /// Stands at a boundary again.
  mutating func startOver() {
    state = .start
    number = NumberLine()
    line.reset()
    isDropping = false
    opening.removeAll(keepingCapacity: true)
    damage = .none
  }
}
