// One side of a connection: its frames that wait, in order, each with a number that stays its own.

struct Side {
  private var frames: [HeldFrame] = []
  private var head = 0
  /// The number of the frame at `head`.
  private(set) var firstNumber: UInt64 = 0
  /// When the latest exchange of this side was over; nil where something is missing behind it, or none came yet.
  var latestEnd: UInt64?
  /// Of the next exchange.
  var nextOrdinal: Int64 = 0
  /// A filter has hidden what came before the next exchange.
  var isBehindHidden = false
  /// No frame of it will follow.
  var isClosed = false

  var isEmpty: Bool { head == frames.count }
  /// The number that the next frame will have.
  var endNumber: UInt64 { firstNumber + UInt64(frames.count - head) }
  var first: HeldFrame? { isEmpty ? nil : frames[head] }

  func holds(_ number: UInt64) -> Bool { number >= firstNumber && number < endNumber }

  subscript(number: UInt64) -> HeldFrame {
    get { frames[head + Int(number - firstNumber)] }
    _modify { yield &frames[head + Int(number - firstNumber)] }
  }

  /// Gives the next exchange its place.
  mutating func count(_ exchange: inout HeldFrame) {
    exchange.ordinal = nextOrdinal
    exchange.isBehindHidden = isBehindHidden
    nextOrdinal &+= 1
    isBehindHidden = false
  }

  /// So many exchanges are not shown.
  mutating func skip(_ count: UInt64) {
    nextOrdinal &+= Int64(truncatingIfNeeded: count)
    isBehindHidden = true
    latestEnd = nil
  }

  mutating func append(_ frame: HeldFrame) { frames.append(frame) }

  /// The exchanges in front of `number` wait no longer.
  mutating func release(before number: UInt64, as state: HeldFrame.State = .ready) {
    guard number > firstNumber else { return }
    for number in firstNumber..<min(number, endNumber) where self[number].state == .waiting {
      self[number].state = state
    }
  }

  /// Whether `number` is an exchange that waits for the other side's view.
  func isWaiting(_ number: UInt64) -> Bool { holds(number) && self[number].state == .waiting }

  /// Takes the first frame if it waits for nothing.
  mutating func popReady() -> HeldFrame? {
    guard head < frames.count, frames[head].state != .waiting else { return nil }
    let frame = frames[head]
    frames[head].encoded = []
    head += 1
    firstNumber += 1
    // Room is given back when half of it is empty: each frame is moved once at most, on average.
    if head * 2 >= frames.count {
      frames.removeFirst(head)
      head = 0
    }
    return frame
  }
}
