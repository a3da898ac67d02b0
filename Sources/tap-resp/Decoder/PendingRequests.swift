// Requests that wait for their reply, in the order in which they were sent.

/// A request whose map lies in the command parser's buffer.
struct PendingRequest {
  /// When its last byte moved.
  var time: UInt64
  /// The process, where it is not the flow's.
  var process: UInt64?
  /// Length of its map.
  var bytes: Int32
  var flags: ExchangeFlags
  var effect: CommandTraits.Effect
  var mayHoldSecrets: Bool
  /// Confirmations that a subscription is answered with; 0 where it is not known yet.
  var confirmations: Int32
}

/// A queue that allocates nothing in the steady state.
struct PendingRequests {
  private var items: [PendingRequest] = []
  private var head = 0

  @inline(__always) var isEmpty: Bool { head == items.count }
  var count: Int { items.count - head }
  @inline(__always) var first: PendingRequest? { head < items.count ? items[head] : nil }

  @inline(__always)
  mutating func append(_ request: PendingRequest) { items.append(request) }

  @inline(__always)
  mutating func removeFirst() {
    head &+= 1
    if head == items.count {
      items.removeAll(keepingCapacity: items.capacity <= 1024)
      head = 0
    } else if head >= 4096, head * 2 >= items.count {
      items.removeFirst(head)
      head = 0
    }
  }

  mutating func forEach(_ body: (inout PendingRequest) -> Void) {
    for index in head..<items.count { body(&items[index]) }
  }

  func contains(where predicate: (PendingRequest) -> Bool) -> Bool { items[head...].contains(where: predicate) }
}
