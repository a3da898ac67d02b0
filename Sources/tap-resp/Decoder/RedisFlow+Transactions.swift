// Transactions: each queued command waits for EXEC and gets its own reply out of EXEC's.
import TapWire

extension RedisFlow {
  /// Follows which commands are queued, as they are sent.
  func noteQueueing(_ effect: CommandTraits.Effect) {
    switch effect {
    case .multi: isQueueing = true
    case .exec:
      if isQueueing, let queuedReplyMode {
        replyMode = queuedReplyMode
        isModePending = true
      }
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
    transaction.append(queued, maps: maps, contribution(of: request, map, to: transaction))
    if !isVouched { quietPoints.noteReply() }
    removeFirstPending()
    // Nobody sends so many: they get no other reply.
    if transaction.queued.count >= RESPLimits.queuedCommands { releaseTransaction(extraFlags: [], into: &output) }
  }

  /// What a command that is queued will add to EXEC's array.
  private func contribution(
    of request: PendingRequest, _ map: UnsafeRawBufferPointer, to transaction: Transaction
  ) -> Transaction.Contribution {
    switch request.effect {
    case .subscribe: return .confirmations(request.confirmations)
    case .unsubscribe where request.confirmations > 0: return .confirmations(request.confirmations)
    case .unsubscribe:
      // One for each subscription, of which the transaction itself may add some and end some.
      guard !transaction.hasSubscriptions, let count = subscriptions.count(endedBy: RequestMap(map)?.nameText) else {
        return .unknown
      }
      return .confirmations(Int32(clamping: max(1, count)))
    case .client: return RedisFlow.clientReplyMode(map).map { .mode($0) } ?? .reply
    case .replconf: return isAcknowledgement(map) ? .nothing : .reply
    case .monitor, .sync: return isMonitoring || wasUnvouched ? .unknown : .reply
    default: return .reply
    }
  }

  // MARK: EXEC's reply

  /// Before a reply: of EXEC's array the head counts commands, but a SUBSCRIBE in it has an element for each channel, and a
  /// silenced command none.
  func awaitElements() {
    guard let transaction, replies.isAtBoundary else { return }
    let announced = Int64(transaction.queued.count)
    isExecAwaited = pending.first?.effect == .exec
    replies.topElements =
      isExecAwaited && announced != transaction.elements ? (announced, transaction.elements) : nil
  }

  /// Whether the push that has come is the confirmation of a SUBSCRIBE inside of EXEC's array (RESP3).
  func isElementOfTransaction() -> Bool {
    guard let transaction, transaction.hasSubscriptions, pending.first?.effect == .exec, replies.isBetweenElements
    else { return false }
    return Subscriptions.confirmation(replies.writer.bytes.bytes) != nil
  }

  /// EXEC is answered: with an array each queued command gets its part of it, else it was not executed.
  func finishTransaction(with reply: WaitingReply, _ response: UnsafeRawBufferPointer, into output: inout Output) {
    defer {
      isExecAwaited = false
      if pending.count <= 1 {
        isModePending = false
        hasTentativeSilence = false
      }
    }
    guard let transaction, var elements = transaction.elements(of: response) else {
      // Nor was the CLIENT REPLY in it executed.
      if transaction?.changesSilence == true {
        if hasTentativeSilence { endReplySilence(into: &output) } else { replyMode = .on }
      }
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
        // EXEC's reply was too large to be kept to its end, or its end was lost.
        let loss = reply.flags.intersection([.gap, .incomplete])
        emit(
          queued, maps, response: nil, reply, extraFlags: loss.isEmpty ? .cut : loss.union(.unanswered), into: &output)
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
      if let confirmation = Subscriptions.confirmation(response.bytes) {
        subscriptions.note(confirmation, isCertain: isVouched)
      }
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
