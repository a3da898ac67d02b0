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
  private(set) var heldBytes = 0

  var isEmpty: Bool { items.isEmpty }
  var count: Int { items.count }

  mutating func append(_ reply: WaitingReply, _ bytes: UnsafeRawBufferPointer) {
    items.append((reply, Array(bytes)))
    heldBytes += bytes.count
  }

  mutating func takeFirst() -> (WaitingReply, [UInt8])? {
    guard !items.isEmpty else { return nil }
    let first = items.removeFirst()
    heldBytes -= first.bytes.count
    return first
  }

  /// What `body` says of the first one; nil where none waits.
  func visitFirst<Result>(_ body: (WaitingReply, UnsafeRawBufferPointer) -> Result) -> Result? {
    items.first.map { first in first.bytes.withUnsafeBytes { body(first.reply, $0) } }
  }

  func visit(_ body: (WaitingReply, UnsafeRawBufferPointer) -> Void) {
    for item in items { item.bytes.withUnsafeBytes { body(item.reply, $0) } }
  }

  mutating func removeAll() {
    items.removeAll()
    heldBytes = 0
  }
}
