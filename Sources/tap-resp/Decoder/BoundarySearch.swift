// Behind a loss: finds the next message boundary that holds.
import Glibc
import TapWire

/// What moves in a direction.
enum Side {
  case commands
  case replies
}

/// The bytes of one direction between a loss and the next boundary.
struct BoundarySearch: ~Copyable {
  private let side: Side
  private var kept = ByteBuffer(capacityBytes: 256)
  /// The first kept byte may begin a message: it stood behind a loss or a line's end.
  private var isFirstCandidate = true
  private(set) var skippedBytes: UInt64 = 0

  init(for side: Side) { self.side = side }

  /// Where messages go on.
  enum Found: ~Copyable {
    /// At this position of the bytes that were added.
    case inPlace(Int)
    /// At the beginning of these bytes: what was kept, and what was added behind it.
    case joined(ByteBuffer)
  }

  var heldBytes: Int { kept.count }

  /// Gives up what is kept: it begins no message that can be told.
  mutating func dropKept() {
    skip(kept.count, of: kept.bytes)
    kept = ByteBuffer(capacityBytes: 16)
  }

  /// Adds bytes and looks on. Returns where to parse from, or nil while no boundary is found.
  mutating func add(_ bytes: UnsafeRawBufferPointer) -> Found? {
    if kept.isEmpty {
      let (position, holds) = find(in: bytes)
      skip(position, of: bytes)
      if holds { return .inPlace(position) }
      kept.append(UnsafeRawBufferPointer(rebasing: bytes[position...]))
      return nil
    }
    kept.append(bytes)
    let (position, holds) = find(in: kept.bytes)
    skip(position, of: kept.bytes)
    kept.removeSubrange(0..<position)
    guard holds else { return nil }
    var joined = ByteBuffer(capacityBytes: 16)
    swap(&joined, &kept)
    return .joined(joined)
  }

  /// The first position at which messages begin, or at which there is too little to tell, or the end.
  private func find(in bytes: UnsafeRawBufferPointer) -> (position: Int, holds: Bool) {
    var position = 0
    while position < bytes.count {
      if position > 0 || isFirstCandidate {
        let finding = side == .commands ? Boundary.commands(bytes, at: position) : Boundary.replies(bytes, at: position)
        if finding == .holds { return (position, true) }
        // Too little to tell: wait for more, but not for ever.
        if finding == .needsMore, bytes.count - position < RESPLimits.searchBytes { return (position, false) }
      }
      guard let base = bytes.baseAddress, let end = memchr(base + position, 0x0a, bytes.count - position) else { break }
      position = base.distance(to: UnsafeRawPointer(end)) + 1
    }
    return (bytes.count, false)
  }

  /// No message begins in the first `length` bytes.
  private mutating func skip(_ length: Int, of bytes: UnsafeRawBufferPointer) {
    guard length > 0 else { return }
    isFirstCandidate = bytes[length - 1] == 0x0a
    skippedBytes += UInt64(length)
  }
}
