// Replies that were recorded before the requests they answer.
import TapWire

/// A complete message of the server.
struct WaitingReply {
  /// When its last byte moved.
  var start: UInt64
  var firstByte: UInt64
  var process: UInt64?
  var flags: ExchangeFlags
  var isError: Bool
  var isPush: Bool
}

/// A queue of replies with their maps.
struct WaitingReplies {
  private var items: [(reply: WaitingReply, bytes: [UInt8])] = []
  /// Those before it were taken.
  private var head = 0
  private(set) var heldBytes = 0

  var isEmpty: Bool { count == 0 }
  var count: Int { items.count - head }

  mutating func append(_ reply: WaitingReply, _ bytes: UnsafeRawBufferPointer) {
    items.append((reply, Array(bytes)))
    heldBytes += bytes.count
  }

  mutating func takeFirst() -> (WaitingReply, [UInt8])? {
    guard head < items.count else { return nil }
    let first = items[head]
    items[head].bytes = []
    head += 1
    heldBytes -= first.bytes.count
    // Moved only when as many were taken as are left: each once, on average.
    if head * 2 >= items.count {
      items.removeFirst(head)
      head = 0
    }
    return first
  }

  /// The one that was taken is the first again.
  mutating func putBack(_ reply: WaitingReply, _ bytes: [UInt8]) {
    items.insert((reply, bytes), at: head)
    heldBytes += bytes.count
  }

  /// What `body` says of the first one; nil where none waits.
  func visitFirst<Result>(_ body: (WaitingReply, UnsafeRawBufferPointer) -> Result) -> Result? {
    items[head...].first.map { first in first.bytes.withUnsafeBytes { body(first.reply, $0) } }
  }

  func visit(_ body: (WaitingReply, UnsafeRawBufferPointer) -> Void) {
    for item in items[head...] { item.bytes.withUnsafeBytes { body(item.reply, $0) } }
  }

  mutating func removeAll() {
    items.removeAll()
    head = 0
    heldBytes = 0
  }
}
