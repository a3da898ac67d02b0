// Requests that wait for their reply, in the order in which they were sent.

/// A request whose map lies in the command parser's buffer.
struct PendingRequest {
  /// When its last byte moved.
  var time: UInt64
  /// The process, where it is not the flow's.
  let process: UInt64?
  /// Whether its reply is no more than that, and there is nothing to say about it.
  private(set) var isPlain: Bool
  /// Length of its map, and of its annotations behind it.
  var bytes: Int32
  var annotationBytes: Int32
  var flags: ExchangeFlags { didSet { isPlain = false } }
  let effect: CommandTraits.Effect
  let mayHoldSecrets: Bool
  /// The first with a reply behind CLIENT REPLY OFF or SKIP: an error before it would be the refusal of that.
  var isBehindSilence = false { didSet { isPlain = false } }
  /// Confirmations that a subscription is answered with; 0 where it is not known yet.
  let confirmations: Int32

  @inline(__always)
  init(
    time: UInt64, process: UInt64?, bytes: Int32, annotationBytes: Int32 = 0, flags: ExchangeFlags = [],
    effect: CommandTraits.Effect = .none,
    mayHoldSecrets: Bool = false, confirmations: Int32 = 0
  ) {
    self.time = time
    self.process = process
    isPlain = flags.isEmpty && effect == .none && !mayHoldSecrets && process == nil
    self.bytes = bytes
    self.annotationBytes = annotationBytes
    self.flags = flags
    self.effect = effect
    self.mayHoldSecrets = mayHoldSecrets
    self.confirmations = confirmations
  }

  /// What it takes in the buffer.
  @inline(__always) var heldBytes: Int { Int(bytes) &+ Int(annotationBytes) }

  /// Cuts its values to `length` bytes: what lies at `read` moves to `written`, and both move on.
  mutating func trim(
    to length: Int, in base: UnsafeMutableRawBufferPointer, from read: inout Int, to written: inout Int
  ) {
    let mapBytes = PendingRequest.trim(Int(bytes), to: length, in: base, from: &read, to: &written)
    if mapBytes < bytes { flags.insert(.cut) }
    bytes = Int32(truncatingIfNeeded: mapBytes)
    annotationBytes = Int32(
      truncatingIfNeeded: PendingRequest.trim(Int(annotationBytes), to: length, in: base, from: &read, to: &written))
  }

  private static func trim(
    _ count: Int, to length: Int, in base: UnsafeMutableRawBufferPointer, from read: inout Int, to written: inout Int
  ) -> Int {
    let region = UnsafeMutableRawBufferPointer(rebasing: base[read..<(read + count)])
    let trimmed = ValueTrimmer.trim(region, to: length)
    if written < read {
      UnsafeMutableRawBufferPointer(rebasing: base[written..<(written + trimmed)])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: region[..<trimmed]))
    }
    read += count
    written += trimmed
    return trimmed
  }

  /// Whether its reply may take long to come.
  var isSlow: Bool { flags.contains(.blocking) || effect == .slow || effect == .sync }
}

/// A queue in a ring of memory: it allocates nothing in the steady state, and moves nothing.
struct PendingRequests: ~Copyable {
  private static let smallestCapacity = 2
  private static let usualCapacity = 1024
  private var items = UnsafeMutablePointer<PendingRequest>.allocate(capacity: smallestCapacity)
  /// A power of two.
  private var capacity = smallestCapacity
  /// Requests ever removed and ever added; their places are these numbers modulo the capacity.
  private var head = 0
  private var tail = 0
  /// Those added before it are not vouched for.
  private var unvouchedEnd = 0
  /// None of those added from it on is slow.
  private var slowEnd = 0
  /// How many times in a row one request had waited alone when nothing waited any more.
  private var turns = 0
  /// The same when pairs were certain last.
  private var rememberedTurns = 0

  deinit { items.deallocate() }

  /// What the queue takes beyond that of a flow which sends one command at a time.
  @inline(__always) var heldBytes: Int {
    (capacity &- PendingRequests.smallestCapacity) &* MemoryLayout<PendingRequest>.stride
  }

  @inline(__always) var isEmpty: Bool { head == tail }
  @inline(__always) var count: Int { tail &- head }
  @inline(__always) var first: PendingRequest? {
    if head == tail { return nil }
    var request = items[head & (capacity &- 1)]
    if head < unvouchedEnd { request.flags.insert(.unvouched) }
    return request
  }

  /// When the first was sent; there must be one.
  @inline(__always) var firstTime: UInt64 { items[head & (capacity &- 1)].time }

  /// A walk over the requests from the first on, as long as there is nothing special about them. It is over when the
  /// queue changes.
  struct PlainWalk {
    fileprivate let items: UnsafePointer<PendingRequest>
    fileprivate let mask: Int
    fileprivate var next: Int
    fileprivate let end: Int

    /// The next request in place, for reading less than all of it.
    @inline(__always) var request: UnsafePointer<PendingRequest>? {
      let request = items + (next & mask)
      return next < end && request.pointee.isPlain ? request : nil
    }

    @inline(__always)
    mutating func advance() { next &+= 1 }
  }

  @inline(__always) var plain: PlainWalk {
    PlainWalk(items: items, mask: capacity &- 1, next: head, end: head >= unvouchedEnd ? tail : head)
  }

  /// Removes the requests that a walk has passed.
  @inline(__always)
  mutating func removePassed(_ walk: PlainWalk) {
    head = walk.next
    if head == tail { startOver() }
  }

  @inline(__always)
  mutating func append(_ request: PendingRequest) {
    if count == capacity { resize(to: capacity * 2) }
    (items + (tail & (capacity &- 1))).initialize(to: request)
    tail &+= 1
    if request.isSlow { slowEnd = tail }
  }

  /// Whether the reply to one of them may take long to come.
  var hasSlow: Bool { head < slowEnd }

  @inline(__always)
  mutating func removeFirst() {
    head &+= 1
    if head == tail { startOver() }
  }

  /// Nothing waits: begins again at the first place, which is in the cache, and gives the memory of a long queue back.
  @inline(__always)
  private mutating func startOver() {
    turns = tail == 1 ? turns &+ 1 : 0
    if capacity > PendingRequests.usualCapacity { resize(to: PendingRequests.smallestCapacity) }
    head = 0
    tail = 0
    unvouchedEnd = 0
    slowEnd = 0
  }

  /// Gives memory back that the requests do not need any more.
  mutating func shrink() {
    var needed = PendingRequests.smallestCapacity
    while needed < count { needed *= 2 }
    if needed * 2 < capacity { resize(to: needed) }
  }

  private mutating func resize(to newCapacity: Int) {
    let moved = UnsafeMutablePointer<PendingRequest>.allocate(capacity: newCapacity)
    for index in 0..<count { (moved + index).initialize(to: items[(head &+ index) & (capacity &- 1)]) }
    items.deallocate()
    items = moved
    turns = 0
    unvouchedEnd = max(0, unvouchedEnd - head)
    slowEnd = max(0, slowEnd - head)
    tail = count
    head = 0
    capacity = newCapacity
  }

  /// Certainty is lost: what waits from here on may have been answered.
  mutating func rememberTurns() { rememberedTurns = tail <= 1 ? turns : 0 }

  /// Certainty is back.
  mutating func resumeTurns() { turns = rememberedTurns }

  /// Whether the client took turns with the server, `count` times in a row when pairs were certain last: it sent nothing
  /// while a request waited.
  func tookTurns(_ count: Int) -> Bool { rememberedTurns >= count }

  /// Flags all that wait as unvouched, at no cost for each.
  mutating func unvouch() { unvouchedEnd = tail }

  /// None of those that wait is in doubt any more, or only the first.
  mutating func vouch(butFirst: Bool) {
    update { if $0.flags.contains(.unvouched) { $0.flags.remove(.unvouched) } }
    unvouchedEnd = butFirst ? head &+ 1 : head
  }

  mutating func update(_ body: (inout PendingRequest) -> Void) {
    for index in head..<tail { body(&items[index & (capacity &- 1)]) }
  }
}
