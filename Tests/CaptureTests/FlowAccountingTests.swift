// Bytes captured plus bytes in gaps are the bytes moved, whatever is lost and in whatever order records come.
import Support
import Testing

@testable import tap_capture

@Suite struct FlowAccountingTests {
  @Test func recordsInOrderHaveNoGap() {
    var books = FlowAccounting()
    #expect(
      books.book(isReceived: false, offset: 0, length: 10, lostBefore: 0)
        == .init(gapOffset: 0, lostBytes: 0, offset: 0, isInOrder: true))
    #expect(
      books.book(isReceived: false, offset: 10, length: 5, lostBefore: 0)
        == .init(gapOffset: 10, lostBytes: 0, offset: 10, isInOrder: true))
    #expect(books.bookEnd(isReceived: false, moved: 15) == (15, 0))
  }

  @Test func directionsAreApart() {
    var books = FlowAccounting()
    _ = books.book(isReceived: true, offset: 0, length: 7, lostBefore: 0)
    #expect(books[false] == 0 && books[true] == 7)
    #expect(books.bookEnd(isReceived: false, moved: 3) == (0, 3))
    #expect(books.bookEnd(isReceived: true, moved: 7) == (7, 0))
  }

  @Test func whatWasLostIsAGapBeforeTheNextRecord() {
    var books = FlowAccounting()
    _ = books.book(isReceived: false, offset: 0, length: 10, lostBefore: 0)
    #expect(
      books.book(isReceived: false, offset: 110, length: 5, lostBefore: 100)
        == .init(gapOffset: 10, lostBytes: 100, offset: 110, isInOrder: true))
    #expect(books.bookEnd(isReceived: false, moved: 200) == (115, 85))
    #expect(books.bookEnd(isReceived: false, moved: 200) == (200, 0))
  }

  @Test func aTotalOfThePastTakesNothingBack() {
    var books = FlowAccounting()
    _ = books.book(isReceived: false, offset: 0, length: 10, lostBefore: 0)
    #expect(books.bookEnd(isReceived: false, moved: 4) == (10, 0))
    #expect(books[false] == 10)
  }

  /// Several writers take their places in the stream and their places in the ring in different orders.
  @Test(arguments: 0..<50)
  func countsAreExactInAnyOrder(seed: Int) {
    var generator = SeededGenerator(seed: UInt64(seed) &+ 1)
    var offset: UInt64 = 0
    var calls: [(offset: UInt64, length: UInt64, isLost: Bool)] = []
    for _ in 0..<100 {
      let length = UInt64.random(in: 1...5000, using: &generator)
      calls.append((offset, length, Int.random(in: 0..<4, using: &generator) == 0))
      offset += length
    }
    // Neighbours overtake each other.
    for index in stride(from: 0, to: calls.count - 1, by: 2) where Bool.random(using: &generator) {
      calls.swapAt(index, index + 1)
    }
    var books = FlowAccounting()
    var pending: UInt64 = 0
    var covered: UInt64 = 0
    for call in calls {
      if call.isLost {
        pending += call.length
        continue
      }
      let step = books.book(isReceived: false, offset: call.offset, length: call.length, lostBefore: pending)
      #expect(step.gapOffset == covered, "seed \(seed)")
      #expect(step.offset == covered + pending, "seed \(seed)")
      covered = step.offset + call.length
      pending = 0
    }
    let missing = books.bookEnd(isReceived: false, moved: offset)
    #expect(missing.offset == covered && missing.lostBytes == offset - covered, "seed \(seed)")
  }
}
