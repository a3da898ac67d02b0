// What becomes of the message that is coming when bytes are missing, the flow ends, or memory runs out.
import TapWire

extension ReplyParser {
  /// Cuts values of the message that is coming.
  mutating func makeRoom(leavingBytes target: Int) {
    let isStringOpen = isStoring && (state == .body || isStreamedString)
    if !isStringOpen { writer.closeString() }
    writer.makeRoom(leavingBytes: target)
    if writer.messageBytes > target { writer.stopGrowing() }
  }

  /// What is kept of messages that are not finished.
  var heldBytes: Int { writer.bytes.count + interruptedWriter.bytes.count }

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
      // What stands for a value that never came is none of the server's.
      var isPadded = false
      if level.isAwaitingValue {
        writer.bytes.appendNull()
        level.stored += 1
        isPadded = true
      }
      if level.head >= 0, level.major == .map, level.stored & 1 == 1 {
        writer.bytes.appendNull()
        level.stored += 1
        isPadded = true
      }
      if level.isStreamed { level.full = level.stored }
      close(level, isPadded: isPadded)
      if level.head >= 0, let index = levels.indices.last {
        levels[index].stored += 1
        levels[index].isAwaitingValue = false
      }
    }
    return true
  }

  /// The next message may be another connection's: forgets what the last one leaves behind.
  mutating func becomeSpare() {
    topElements = nil
    writer.clear(keepingBytes: RESPLimits.largestKeptBytes)
    interruptedWriter.clear(keepingBytes: RESPLimits.largestKeptBytes)
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
