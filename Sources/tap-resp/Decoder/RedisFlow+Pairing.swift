// How replies meet their commands, also where a command changes the one-to-one rule.
import TapWire

extension RedisFlow {
  /// A message is complete: its map is all that the reply parser's buffer holds.
  @inline(__always)
  func finishMessage(_ kind: ReplyKind, _ data: DataFrame, extraFlags: ExchangeFlags, into output: inout Output) {
    var flags = extraFlags
    if replies.writer.isCut { flags.insert(.cut) }
    if replies.writer.isTouchedByGap { flags.insert(.gap) }
    let reply = WaitingReply(
      start: data.time, firstByte: min(replyFirstByte, data.time), process: data.process, flags: flags,
      isError: replies.isError, isPush: kind == .push)
    if flags.contains(.gap) { doubtReply() }
    if kind == .push || subscriptions.isActive || isMonitoring || wasUnvouched || subscriptions.areSilent
      || subscriptions.hadShards
    {
      finishSpecial(reply, replies.writer.bytes.bytes, into: &output)
    } else {
      answer(with: reply, replies.writer.bytes.bytes, into: &output)
    }
    replies.writer.clear(keepingBytes: context.keptBytes)
  }

  /// Pairs a reply with the first pending request.
  @inline(__always)
  func answer(with reply: WaitingReply, _ response: UnsafeRawBufferPointer, into output: inout Output) {
    guard let request = pending.first else { return keepWaiting(reply, response, into: &output) }
    if request.effect == .none, !request.mayHoldSecrets, !request.flags.contains(.unvouched), !request.isBehindSilence,
      transaction == nil
    {
      pair(request, reply, response: response, into: &output)
    } else {
      answerSpecial(request, reply, response, into: &output)
    }
  }

  @inline(__always)
  func pair(
    _ request: PendingRequest, _ reply: WaitingReply, response: UnsafeRawBufferPointer, into output: inout Output
  ) {
    if !isVouched { quietPoints.noteReply() }
    var flags = request.flags.union(reply.flags)
    // A gap has the time at which it was told of: the next bytes may have come much later.
    if flags.isDisjoint(with: [.unvouched, .gap]), !request.isSlow, reply.start > request.time {
      slowestNanoseconds = max(slowestNanoseconds, reply.start - request.time)
    }
    if reply.start < request.time { flags.insert(.clamped) }
    context.emit(
      of: self, start: request.time, end: max(reply.start, request.time), firstByte: reply.firstByte,
      request: takeRequestMap(request), response: response, flags: flags, process: request.process ?? reply.process,
      annotations: takeAnnotations(request), into: &output)
    removeFirstPending()
  }

  /// replication.c: who is a monitor already gets no answer to MONITOR, SYNC and PSYNC.
  func isIgnored(_ request: PendingRequest) -> Bool {
    isMonitoring && (request.effect == .monitor || request.effect == .sync)
  }

  /// A reply that changes more than its request, or that must not go out as it is.
  private func answerSpecial(
    _ request: PendingRequest, _ reply: WaitingReply, _ response: UnsafeRawBufferPointer, into output: inout Output
  ) {
    let isIgnored = isIgnored(request)
    if isIgnored || request.isBehindSilence {
      let isRefusal = reply.isError && RedisFlow.mayRefuse(response)
      if !isInDoubt, isRefusal || isIgnored && wasUnvouched {
        // Either it answers the first command that has a reply, or it refuses the one before, which would have none.
        withdraw(into: &output)
        return answer(with: reply, response, into: &output)
      }
      if isIgnored, !isRefusal, !isQueued(request, response) {
        giveUp(request, flags: .noReply, into: &output)
        return answer(with: reply, response, into: &output)
      }
    }
    guard context.masksSecrets else { return answerSpecial(request, reply, as: response, into: &output) }
    if request.mayHoldSecrets, !reply.isError, Secrets.isPasswordAnswer(to: takeRequestMap(request)),
      !isQueued(request, response)
    {
      let masked = Secrets.line(Array("\(Secrets.mask)".utf8), type: "bulk_string")
      return answerSpecial(request, reply, as: masked.bytes, into: &output)
    }
    // Where pairs are in doubt, so is whose secrets the server repeats.
    if request.mayHoldSecrets || request.effect == .exec && sawSecrets || request.flags.contains(.unvouched),
      let redacted = Secrets.redacted(response, isError: reply.isError)
    {
      return answerSpecial(request, reply, as: redacted.bytes, into: &output)
    }
    answerSpecial(request, reply, as: response, into: &output)
  }

  /// The same with a response that may go out.
  private func answerSpecial(
    _ request: PendingRequest, _ reply: WaitingReply, as response: UnsafeRawBufferPointer, into output: inout Output
  ) {
    if let transaction, isQueued(request, response) { return queue(request, reply, in: transaction, into: &output) }
    switch request.effect {
    case .subscribe, .unsubscribe:
      return confirm(request, reply, response, into: &output)
    case .multi where !reply.isError && transaction == nil:
      transaction = Transaction()
    case .multi where transaction == nil:
      // Refused: what follows is not queued.
      isQueueing = false
    case .exec:
      if !isInDoubt, transaction?.isSurprised(by: response, isAwaited: isExecAwaited) == true {
        withdraw(into: &output)
        return answer(with: reply, response, into: &output)
      }
      finishTransaction(with: reply, response, into: &output)
    case .discard where !reply.isError, .reset where !reply.isError:
      releaseTransaction(extraFlags: [], into: &output)
    case .sync:
      pair(request, reply, response: response, into: &output)
      if let stream = ReplicationStream(announcedBy: response) { begin(stream, into: &output) }
      return
    default:
      break
    }
    let flags = request.flags.union(reply.flags)
    follow(request.effect, takeRequestMap(request), response, isError: reply.isError, flags)
    pair(request, reply, response: response, into: &output)
    if state.isChanged { tellState(into: &output) }
  }

  /// One of the confirmations of a SUBSCRIBE or UNSUBSCRIBE: the last one completes the exchange.
  private func confirm(
    _ request: PendingRequest, _ reply: WaitingReply, _ response: UnsafeRawBufferPointer, into output: inout Output
  ) {
    guard let confirmation = Subscriptions.confirmation(response), isAwaited(confirmation) else {
      // An error, or QUEUED inside of a transaction.
      if !isInDoubt, !reply.isError || subscriptions.collected > 0, !isQueued(request, response) {
        withdraw(into: &output)
        return answer(with: reply, response, into: &output)
      }
      guard subscriptions.collected > 0 else { return pair(request, reply, response: response, into: &output) }
      // Nobody knew how many there would be.
      finishConfirmations(into: &output)
      return answer(with: reply, response, into: &output)
    }
    if subscriptions.collected == 0 { subscriptions.expect(request, first: confirmation) }
    if !isInDoubt, subscriptions.expected == nil {
      withdraw(into: &output)
      return answer(with: reply, response, into: &output)
    }
    subscriptions.note(confirmation, isCertain: isVouched)
    subscriptions.usesPushes = reply.isPush
    if subscriptions.expected == 1 { return pair(request, reply, response: response, into: &output) }
    subscriptions.collect(response, reply)
    if let expected = subscriptions.expected, subscriptions.collected >= expected { finishConfirmations(into: &output) }
  }

  /// The first pending request has all its confirmations.
  private func finishConfirmations(into output: inout Output) {
    guard let request = pending.first, var whole = subscriptions.latest else { return }
    whole.firstByte = subscriptions.firstByte
    if subscriptions.isCut { whole.flags.insert(.cut) }
    let all = subscriptions.takeCollected()
    pair(request, whole, response: all.bytes, into: &output)
  }
}
