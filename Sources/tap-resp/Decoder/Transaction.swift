// What a transaction has queued between MULTI and EXEC, and which part of EXEC's reply answers each command of it.
import TapWire

/// A command that was answered with QUEUED.
struct QueuedRequest {
  /// Its map lies in `Transaction.maps`, and its annotations behind it.
  var request: PendingRequest
  /// When QUEUED came.
  var queuedTime: UInt64
  var queuedFirstByte: UInt64
  var queuedProcess: UInt64?
  /// So many elements of EXEC's array are its reply; 0 where it gets none.
  var elements: Int32 = 1
}

/// The commands of one transaction, in order.
final class Transaction {
  @exclusivity(unchecked) private(set) var queued: [QueuedRequest] = []
  @exclusivity(unchecked) private(set) var maps = ByteBuffer(capacityBytes: 256)
  /// What all of it takes.
  var heldBytes: Int { maps.count + queued.count * MemoryLayout<QueuedRequest>.stride }
  /// Elements that EXEC's array will have, where they are not as many as its head says.
  @exclusivity(unchecked) private(set) var elements: Int64 = 0
  /// Whether confirmations of subscriptions are among them.
  @exclusivity(unchecked) private(set) var hasSubscriptions = false
  /// Whether a CLIENT REPLY is among them.
  @exclusivity(unchecked) private(set) var changesSilence = false
  /// Whether it is known how many elements each has.
  private var isCounted = true
  /// Whether a queued CLIENT REPLY has silenced the rest of EXEC's array.
  private var isSilent = false

  /// What a command adds to EXEC's array.
  enum Contribution {
    case reply
    /// That of a subscribing command: so many elements.
    case confirmations(Int32)
    /// CLIENT REPLY.
    case mode(ReplyMode)
    /// The server never answers it.
    case nothing
    /// Nobody can tell how many elements it is.
    case unknown
  }

  func append(_ queued: QueuedRequest, maps: UnsafeRawBufferPointer, _ contribution: Contribution) {
    var queued = queued
    switch contribution {
    case .reply: break
    case .confirmations(let count):
      queued.elements = count
      hasSubscriptions = true
    case .mode(let mode):
      changesSilence = true
      isSilent = mode == .off || mode == .skip && isSilent
      if mode == .skip { queued.elements = 0 }
    case .nothing: queued.elements = 0
    case .unknown:
      isCounted = false
      hasSubscriptions = true
    }
    if isSilent { queued.elements = 0 }
    elements += Int64(queued.elements)
    self.queued.append(queued)
    self.maps.append(maps)
  }

  /// Cuts the values of what is queued.
  func makeRoom(leavingBytes target: Int) {
    let length = ValueTrimmer.threshold(for: target, of: maps.bytes, comingBytes: 0)
    let base = maps.mutableBytes
    var read = 0
    var written = 0
    for index in queued.indices { queued[index].request.trim(to: length, in: base, from: &read, to: &written) }
    maps.truncate(to: written)
  }

  /// Whether EXEC's reply may have been read wrong: where its array has other elements than its head says, they must have been
  /// counted before it began (`isAwaited`), and be what they were counted as.
  func isSurprised(by response: UnsafeRawBufferPointer, isAwaited: Bool) -> Bool {
    guard hasSubscriptions || elements != Int64(queued.count), Subscriptions.value(of: response, type: "array") != nil
    else { return false }
    guard isAwaited, isCounted, var items = self.elements(of: response) else { return true }
    var element = ByteBuffer(capacityBytes: 256)
    for request in queued {
      let isSubscribing = request.request.effect == .subscribe || request.request.effect == .unsubscribe
      for _ in 0..<request.elements {
        // What is not kept says nothing.
        guard let item = try? items.readItem() else { return false }
        guard isSubscribing else { continue }
        element.removeAll()
        ElementResponse.append(item, to: &element)
        if Subscriptions.confirmation(element.bytes) == nil { return true }
      }
    }
    return false
  }

  /// The elements of EXEC's array; nil where its response is none, or is not the one that was expected.
  func elements(of response: UnsafeRawBufferPointer) -> CBORReader? {
    guard var reader = Subscriptions.value(of: response, type: "array"), let head = try? reader.peekHead() else {
      return nil
    }
    guard head.major == .tag else {
      guard let count = try? reader.readArrayHead(), count == elements else { return nil }
      return reader
    }
    // A cut array: tag [full length, array of its beginning].
    guard (try? reader.readHead())?.argument == WireTag.cut, (try? reader.readArrayHead()) == 2,
      let count = try? reader.readInteger(), count == elements, (try? reader.readArrayHead()) != nil
    else { return nil }
    return reader
  }
}
