// Bytes captured plus bytes in gaps are the bytes moved, exactly, for each direction of each flow.

/// The books of one flow.
///
/// Positions are sums in the order of the records. Where one program at a time uses a direction they are the kernel's
/// offsets too; where several write at once, the counts stay exact and only the order is uncertain.
struct FlowAccounting {
  private var accounted: (sent: UInt64, received: UInt64) = (0, 0)

  /// What a record makes of its direction.
  struct Step: Equatable {
    /// Where a gap of `lostBytes` begins; the record's own bytes follow it.
    var gapOffset: UInt64
    /// Bytes before this record that the ring had no room for.
    var lostBytes: UInt64
    /// Where the record's own bytes begin.
    var offset: UInt64
    /// Whether the kernel counted the bytes at the same place: false where calls overlapped.
    var isInOrder: Bool
  }

  /// Bytes accounted for so far.
  subscript(isReceived: Bool) -> UInt64 {
    get { isReceived ? accounted.received : accounted.sent }
    set { if isReceived { accounted.received = newValue } else { accounted.sent = newValue } }
  }

  /// Books `length` bytes at the kernel's `offset`, behind `lostBefore` bytes of which no record tells.
  mutating func book(isReceived: Bool, offset: UInt64, length: UInt64, lostBefore: UInt64) -> Step {
    let start = self[isReceived]
    let own = start &+ lostBefore
    self[isReceived] = own &+ length
    return Step(gapOffset: start, lostBytes: lostBefore, offset: own, isInOrder: own == offset)
  }

  /// Books what moved without a record up to the kernel's total, and returns where that is and how many bytes it is.
  mutating func bookEnd(isReceived: Bool, moved: UInt64) -> (offset: UInt64, lostBytes: UInt64) {
    let start = self[isReceived]
    guard moved > start else { return (start, 0) }
    self[isReceived] = moved
    return (start, moved - start)
  }
}
