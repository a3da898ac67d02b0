// Pushes that stand inside of an aggregate: the message around them waits, or adopts them.
import TapWire

extension ReplyParser {
  /// A push begins inside of an aggregate.
  mutating func interrupt() {
    swap(&writer, &interruptedWriter)
    swap(&levels, &interruptedLevels)
    swap(&hasAttributes, &interruptedHasAttributes)
    isInterrupting = true
    beginMessage(.push)
  }

  mutating func resume() {
    swap(&writer, &interruptedWriter)
    swap(&levels, &interruptedLevels)
    interruptedLevels.removeAll(keepingCapacity: true)
    hasAttributes = interruptedHasAttributes
    interruptedHasAttributes = false
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
    let (isCut, isTouchedByGap) = (writer.isCut, writer.isTouchedByGap)
    resume()
    if isCut { writer.noteCut() }
    if isTouchedByGap { writer.noteGap() }
    isStoring = !isDropping
    if isStoring { element.withUnsafeBytes { writer.bytes.append($0) } }
    guard finishElement(isStored: isStoring) else { return false }
    hasAttributes = false
    return true
  }
}
