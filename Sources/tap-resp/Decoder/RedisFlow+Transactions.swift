// Transactions: each queued command waits for EXEC and gets its own reply out of EXEC's.
import TapWire

extension RedisFlow {
  /// Follows which commands are queued, as they are sent.
  func noteQueueing(_ effect: CommandTraits.Effect, isAnswered: Bool) {
    switch effect {
    case .multi: if isAnswered { isQueueing = true }
    case .exec:
      if isQueueing, let queuedReplyMode { replyMode = queuedReplyMode }
      fallthrough
    case .discard, .reset:
      isQueueing = false
      queuedReplyMode = nil
    default: break
    }
  }

  /// Whether a reply says that its command waits for EXEC.
  func isQueued(_ request: PendingRequest, _ response: UnsafeRawBufferPointer) -> Bool {
    request.effect != .exec && Subscriptions.isSimpleString("QUEUED", response)
  }

  /// The first pending request was answered with QUEUED: it goes out with EXEC's reply.
  func queue(
    _ request: PendingRequest, _ reply: WaitingReply, in transaction: Transaction, into output: inout Output
  ) {
    let map = takeRequestMap(request)
    var queued = QueuedRequest(
      request: request, queuedTime: reply.start, queuedFirstByte: reply.firstByte, queuedProcess: reply.process)
    // In there nothing waits.
    queued.request.flags.remove(.blocking)
    let maps = UnsafeRawBufferPointer(
      rebasing: commands.writer.bytes.bytes[requestsStart..<requestsStart + request.heldBytes])
    transaction.append(
      queued, maps: maps, confirmations: confirmations(of: request, map),
      mode: request.effect == .client ? RedisFlow.clientReplyMode(map) : nil)
    if !isVouched { quietPoints.noteReply() }
    removeFirstPending()
    // Nobody sends so many: they get no other reply.
    if transaction.queued.count >= RESPLimits.queuedCommands { releaseTransaction(extraFlags: [], into: &output) }
  }

  /// How many confirmations a subscribing command is answered with; nil for other commands.
  private func confirmations(of request: PendingRequest, _ map: UnsafeRawBufferPointer) -> Int32? {
    switch request.effect {
    case .subscribe: return request.confirmations
    case .unsubscribe:
      if request.confirmations > 0 { return request.confirmations }
      let kind: Subscriptions.Confirmation.Kind
      switch RequestMap(map)?.nameText {
      case "PUNSUBSCRIBE": kind = .pattern
      case "SUNSUBSCRIBE": kind = .shard
      default: kind = .channel
      }
      return Int32(clamping: max(1, subscriptions.count(of: kind)))
    default: return nil
    }
  }

  // MARK: EXEC's reply

  /// Before a reply: of EXEC's array the head counts commands, but a SUBSCRIBE in it has an element for each channel, and a
  /// silenced command none.
  func awaitElements() {
    guard let transaction, replies.isAtBoundary else { return }
    let announced = Int64(transaction.queued.count)
    replies.topElements =
      pending.first?.effect == .exec && announced != transaction.elements ? (announced, transaction.elements) : nil
  }

  /// Whether the push that has come is the confirmation of a SUBSCRIBE inside of EXEC's array (RESP3).
  func isElementOfTransaction() -> Bool {
    guard let transaction, transaction.hasSubscriptions, pending.first?.effect == .exec, replies.isBetweenElements
    else { return false }
    return Subscriptions.confirmation(replies.writer.bytes.bytes) != nil
  }

  /// EXEC is answered: with an array each queued command gets its part of it, else it was not executed.
  func finishTransaction(with reply: WaitingReply, _ response: UnsafeRawBufferPointer, into output: inout Output) {
    guard let transaction, var elements = transaction.elements(of: response) else {
      // Nor was the CLIENT REPLY in it executed.
      if transaction?.changesSilence == true { replyMode = .on }
      return releaseTransaction(extraFlags: [], into: &output)
    }
    self.transaction = nil
    replies.topElements = nil
    var start = 0
    for queued in transaction.queued {
      let end = start + queued.request.heldBytes
      let maps = UnsafeRawBufferPointer(rebasing: transaction.maps.bytes[start..<end])
      start = end
      guard queued.elements > 0 else {
        emit(queued, maps, response: nil, reply, extraFlags: .noReply, into: &output)
        continue
      }
      guard let items = takeItems(Int(queued.elements), from: &elements) else {
        // EXEC's reply was too large to be kept to its end.
        emit(queued, maps, response: nil, reply, extraFlags: .cut, into: &output)
        continue
      }
      answer(queued, maps, with: items, reply, into: &output)
    }
  }

  private func takeItems(_ count: Int, from elements: inout CBORReader) -> UnsafeRawBufferPointer? {
    let rest = elements.rest
    for _ in 0..<count where (try? elements.readItem()) == nil { return nil }
    return UnsafeRawBufferPointer(rebasing: rest[..<(rest.count - elements.rest.count)])
  }

  private func answer(
    _ queued: QueuedRequest, _ maps: UnsafeRawBufferPointer, with items: UnsafeRawBufferPointer, _ reply: WaitingReply,
    into output: inout Output
  ) {
    var reader = CBORReader(items, streamOffset: 0)
    var response = ByteBuffer(capacityBytes: items.count + 64)
    for _ in 0..<queued.elements {
      guard let item = try? reader.readItem() else { return }
      response.removeAll()
      ElementResponse.append(item, to: &response)
      if let confirmation = Subscriptions.confirmation(response.bytes) { subscriptions.note(confirmation) }
    }
    if queued.elements > 1 {
      response.removeAll()
      ElementResponse.append(all: items, count: Int(queued.elements), to: &response)
    }
    let isError = Subscriptions.value(of: response.bytes, type: "error") != nil
    let flags = queued.request.flags.union(reply.flags)
    follow(queued.request.effect, split(maps, queued.request).map, response.bytes, isError: isError, flags)
    let isDamaged = reply.flags.isDisjoint(with: [.cut, .gap, .incomplete]) ? false : ValueTrimmer.holdsCut(items)
    emit(queued, maps, response: response.bytes, reply, extraFlags: isDamaged ? reply.flags : [], into: &output)
    if state.isChanged { tellState(into: &output) }
  }

  private func emit(
    _ queued: QueuedRequest, _ maps: UnsafeRawBufferPointer, response: UnsafeRawBufferPointer?, _ reply: WaitingReply,
    extraFlags: ExchangeFlags, into output: inout Output
  ) {
    let start = queued.request.time
    let (map, annotations) = split(maps, queued.request)
    var flags = queued.request.flags.union(extraFlags).union(.queued)
    if reply.flags.contains(.unvouched) || !isVouched { flags.insert(.unvouched) }
    if reply.start < start { flags.insert(.clamped) }
    context.emit(
      of: self, start: start, end: response == nil ? nil : max(reply.start, start),
      firstByte: response == nil ? nil : reply.firstByte, request: map, response: response, flags: flags,
      process: queued.request.process ?? reply.process, annotations: annotations, into: &output)
  }

  /// The transaction ends without a reply for each command: they go out with the one that they got, QUEUED.
  func releaseTransaction(extraFlags: ExchangeFlags, into output: inout Output) {
    guard let transaction else { return }
    self.transaction = nil
    replies.topElements = nil
    let response = Secrets.line(Array("QUEUED".utf8), type: "simple_string")
    var start = 0
    for queued in transaction.queued {
      let end = start + queued.request.heldBytes
      let reply = WaitingReply(
        start: queued.queuedTime, firstByte: queued.queuedFirstByte, process: queued.queuedProcess, flags: extraFlags,
        isError: false, isPush: false)
      emit(
        queued, UnsafeRawBufferPointer(rebasing: transaction.maps.bytes[start..<end]), response: response.bytes, reply,
        extraFlags: extraFlags, into: &output)
      start = end
    }
  }
}
