// Segments that came before an earlier one, in order, until their turn comes: what a kernel calls the out-of-order queue.

/// A segment's bytes at their place in the stream; the last `cutBytes` of them were not captured.
struct WaitingSegment {
  let position: Int64
  let bytes: [UInt8]
  let cutBytes: Int
  let time: UInt64

  var end: Int64 { position + Int64(bytes.count + cutBytes) }
}

/// The segments of one direction that wait.
///
/// Where they overlap it keeps what Linux keeps (`tcp_data_queue_ofo` in net/ipv4/tcp_input.c): the segment that begins
/// first wins, of two that begin together the longer one, and one that is covered by another goes.
struct WaitingSegments {
  private(set) var segments: [WaitingSegment] = []
  /// What they cost, their own overhead included.
  private(set) var heldBytes = 0
  /// Bytes that came twice.
  private(set) var repeatedBytes: UInt64 = 0
  /// Segments that said something else than another one about the same bytes.
  private(set) var contradictions: UInt64 = 0

  var first: WaitingSegment? { segments.first }
  /// Of an even number the lower one.
  var middle: WaitingSegment? { segments.isEmpty ? nil : segments[(segments.count - 1) / 2] }
  var isFull: Bool {
    segments.count > OfflineLimits.waitingSegments || heldBytes > OfflineLimits.waitingBytes
  }

  mutating func insert(_ segment: WaitingSegment) {
    segment.bytes.withUnsafeBytes {
      insert($0, cutBytes: segment.cutBytes, at: segment.position, time: segment.time)
    }
  }

  mutating func insert(_ payload: UnsafeRawBufferPointer, cutBytes: Int, at position: Int64, time: UInt64) {
    let end = position + Int64(payload.count + cutBytes)
    // Nearly always behind all others.
    var index = segments.count
    while index > 0, segments[index - 1].position > position { index -= 1 }
    compare(payload, at: position, from: max(0, index - 1))
    if index > 0 {
      let earlier = segments[index - 1]
      if earlier.end >= end {
        repeatedBytes += UInt64(end - position)
        return
      }
      if earlier.position == position {
        index -= 1
        remove(at: index)
      }
    }
    while index < segments.count, segments[index].end <= end { remove(at: index) }
    segments.insert(
      WaitingSegment(position: position, bytes: Array(payload), cutBytes: cutBytes, time: time), at: index)
    heldBytes += payload.count + OfflineLimits.segmentOverheadBytes
  }

  private mutating func remove(at index: Int) {
    let segment = segments.remove(at: index)
    heldBytes -= segment.bytes.count + OfflineLimits.segmentOverheadBytes
    repeatedBytes += UInt64(segment.end - segment.position)
  }

  /// Counts a contradiction where `payload` differs from what is held for the same positions.
  ///
  /// Held segments can overlap each other too. So that time stays linear in the bytes of the file, at most twice the
  /// payload is compared.
  mutating func compare(_ payload: UnsafeRawBufferPointer, at position: Int64, from first: Int = 0) {
    let end = position + Int64(payload.count)
    var index = first
    var compared: Int64 = 0
    while index < segments.count, segments[index].position < end, compared <= 2 * Int64(payload.count) {
      let held = segments[index]
      let start = max(held.position, position)
      let common = min(held.position + Int64(held.bytes.count), end) - start
      if common > 0 {
        compared += common
        let isSame = held.bytes.withUnsafeBytes {
          $0[Int(start - held.position)...].prefix(Int(common)).elementsEqual(
            payload[Int(start - position)...].prefix(Int(common)))
        }
        if !isSame { contradictions += 1 }
      }
      index += 1
    }
  }

  /// Takes out the segments that begin in `positions`.
  mutating func take(_ positions: ClosedRange<Int64>) -> [WaitingSegment] {
    let taken = segments.filter { positions.contains($0.position) }
    segments.removeAll { positions.contains($0.position) }
    heldBytes -= taken.reduce(0) { $0 + $1.bytes.count + OfflineLimits.segmentOverheadBytes }
    return taken
  }

  /// Takes out the segments that follow `next` without a hole between them.
  mutating func takeReady(from next: Int64) -> [WaitingSegment] {
    guard let first = segments.first, first.position <= next else { return [] }
    var used = 0
    var reach = next
    while used < segments.count, segments[used].position <= reach {
      reach = max(reach, segments[used].end)
      heldBytes -= segments[used].bytes.count + OfflineLimits.segmentOverheadBytes
      used += 1
    }
    let ready = Array(segments[..<used])
    segments.removeFirst(used)
    return ready
  }
}
