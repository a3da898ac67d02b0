// Commands that are not whole, because bytes are missing or because they break the protocol: what of them is shown.
import TapWire

extension CommandParser {
  /// Why a command ends where it stands.
  enum Ending {
    /// Bytes of it are missing.
    case incomplete
    /// It breaks the protocol, or its server says that it does.
    case malformed
  }

  /// What of a line is not what it was meant to be.
  enum Damage {
    case none
    /// The last argument is the rest of the line as it was sent.
    case lastArgument
    /// That stands in place of the name.
    case name
  }

  /// A command begins at `position` of the input.
  @inline(__always)
  mutating func beginOpening(at position: Int) {
    openingStart = position
    if !opening.isEmpty { opening.removeAll(keepingCapacity: true) }
  }

  /// Keeps what has come of the bytes before the name: `*N\r\n$L\r\n`, numbers of 18 digits at most.
  mutating func keepOpening(_ bytes: UnsafeRawBufferPointer, to end: Int) {
    opening += bytes[openingStart..<end]
    openingStart = end
  }

  /// The input ends at `end`, or makes no sense from there on: what has come before the name of a command is kept.
  mutating func keepOpeningOfUnnamed(_ bytes: UnsafeRawBufferPointer, to end: Int) {
    switch state {
    case .count: keepOpening(bytes, to: end)
    case .lengthMark where isNameNext, .length where isNameNext: keepOpening(bytes, to: end)
    default: break
    }
  }

  /// Ends the command that is coming where it stands; returns whether enough of it is known to show it.
  mutating func endUnfinished(_ ending: Ending) -> Bool {
    defer {
      let damage = damage
      startOver()
      self.damage = damage
    }
    switch state {
    case .brokenInline: return true
    case .inline: return writeUnfinishedInline(ending)
    case .body where !isNameNext: endUnfinishedArgument(ending)
    case .body where body.contentLeft == 0: endName()
    case .lengthMark where !isNameNext, .length where !isNameNext: break
    case .count, .lengthMark, .length, .body:
      writer.dropMessage()
      guard ending == .malformed else { return false }
      // Up to what breaks the protocol, or up to the length that the server refuses.
      write(unnamed: opening)
      return true
    case .start:
      writer.dropMessage()
      return false
    }
    if storedArguments < argumentCount { markCutArguments() }
    return true
  }

  private mutating func endUnfinishedArgument(_ ending: Ending) {
    guard !isDropping else { return }
    if ending == .incomplete { writer.loseRestOfString() } else { writer.cutRestOfString() }
    writer.endString()
    storedArguments += 1
  }

  // MARK: Lines

  /// A line without its end, as far as it has come: shown if its first word is whole, or if it breaks the protocol.
  private mutating func writeUnfinishedInline(_ ending: Ending) -> Bool {
    writer.dropMessage()
    writeBroken(TextLine.Content(bytes: line.unfinished, fullLength: line.unfinishedLength, hasReturn: false))
    guard damage == .name, ending == .incomplete else { return true }
    writer.dropMessage()
    return false
  }

  /// A line that breaks the protocol, or is not whole: the words before what is wrong, and the rest as it was sent.
  mutating func writeBroken(_ content: TextLine.Content) {
    var (words, rest) = InlineCommand.wordsAndRest(content.bytes)
    if !rest.isEmpty { words.append(Array(rest)) }
    // Of a line that is too long, or not whole, nobody knows where its last word ends.
    let droppedBytes = content.fullLength - content.bytes.count
    let isLastWhole = rest.isEmpty && droppedBytes == 0 && content.bytes.last.map(InlineCommand.isSpace) == true
    state = .brokenInline
    if words.count > 1 || words.count == 1 && isLastWhole {
      damage = isLastWhole ? .none : .lastArgument
      write(words: words, droppedBytes: droppedBytes)
    } else {
      damage = .name
      write(unnamed: words.first ?? [], droppedBytes: droppedBytes)
    }
  }

  /// What is shown where there is no name.
  private mutating func write(unnamed bytes: [UInt8], droppedBytes: Int = 0) {
    argumentCount = 0
    name = CommandName()
    beginRequest()
    append(word: bytes, droppedBytes: droppedBytes)
    writer.endString()
    beginArguments()
  }
}
