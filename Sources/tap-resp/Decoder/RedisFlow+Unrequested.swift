// Replies without a request: those that were recorded before it wait, the others go out alone.
import TapWire

extension RedisFlow {
  /// A reply can be recorded before its request on a busy machine. Where pairing was never in doubt it waits for it.
  func keepWaiting(_ reply: WaitingReply, _ response: UnsafeRawBufferPointer, into output: inout Output) {
    let hasRoom = waiting.count < RESPLimits.waitingReplies && waiting.heldBytes < RESPLimits.exchangeBytes
    if let stream = ReplicationStream(announcedBy: response) {
      // Nothing but PSYNC is answered like this, which was recorded behind it or not at all.
      emit(reply, response, extraFlags: [], into: &output)
      return begin(stream, into: &output)
    }
    if waiting.isEmpty, isRefusal(reply, response) {
      endRefused(into: &output)
      return answer(with: reply, response, into: &output)
    }
    if isSilenceUnproven, reply.isError, RedisFlow.mayRefuse(response) { endReplySilence(into: &output) }
    if !wasUnvouched, hasRoom { return waiting.append(reply, response) }
    // A reply to nothing contradicts what a quiet point promised.
    if isVouched { loseCertaintyOfCommands() }
    quietPoints.noteReply()
    emitWaiting(extraFlags: .unvouched, into: &output)
    emit(reply, response, extraFlags: .unvouched, into: &output)
  }

  /// What waited for a request goes out without one.
  func emitWaiting(extraFlags: ExchangeFlags, into output: inout Output) {
    waiting.visit { reply, response in
      emit(reply, response, extraFlags: reply.isPush ? extraFlags.union(.push) : extraFlags, into: &output)
    }
    waiting.removeAll()
  }

  /// A request has come: what waited for it is paired, and what its mode explains goes out.
  func pairWaiting(into output: inout Output) {
    while let isMessage = waiting.visitFirst({ isMessageOfItsOwn($0, $1) }), isMessage || !pending.isEmpty,
      let (reply, response) = waiting.takeFirst()
    {
      // What has no reply leaves this one to the next command, which may come later: it must stay the first.
      let isRefusal = reply.isError && response.withUnsafeBytes { RedisFlow.mayRefuse($0) }
      while !isMessage, !isRefusal, let request = pending.first, isIgnored(request), transaction == nil {
        giveUp(request, flags: .noReply, into: &output)
      }
      if pending.isEmpty, !isMessage { return waiting.putBack(reply, response) }
      response.withUnsafeBytes { response in
        let confirmation = Subscriptions.confirmation(response)
        if let confirmation, reply.isPush || confirmation.mayComeUnasked && subscriptions.hadShards,
          !isAwaited(confirmation)
        {
          emit(confirmation, reply, response, into: &output)
        } else if isMessage || reply.isPush && confirmation == nil {
          emitMessage(reply, response, into: &output)
        } else {
          answer(with: reply, response, into: &output)
        }
      }
    }
  }

  /// What the server says by itself: a line of MONITOR, or a message of pub/sub, which may come on the same connection.
  func emitMessage(_ reply: WaitingReply, _ response: UnsafeRawBufferPointer, into output: inout Output) {
    emit(reply, response, extraFlags: Subscriptions.isMonitorLine(response) ? .monitor : .push, into: &output)
  }

  func emit(
    _ reply: WaitingReply, _ response: UnsafeRawBufferPointer, extraFlags: ExchangeFlags, into output: inout Output
  ) {
    var flags = reply.flags.union(extraFlags)
    if flags.isDisjoint(with: [.push, .monitor]) { flags.insert(.unrequested) }
    if !isVouched { flags.insert(.unvouched) }
    // Nobody knows whose secrets a reply without a request repeats; a line of MONITOR says it.
    if context.masksSecrets,
      let redacted = Subscriptions.isMonitorLine(response)
        ? Secrets.redactedMonitorLine(response) : Secrets.redacted(response, isError: reply.isError)
    {
      return emit(reply, redacted.bytes, flags, into: &output)
    }
    emit(reply, response, flags, into: &output)
  }

  private func emit(
    _ reply: WaitingReply, _ response: UnsafeRawBufferPointer, _ flags: ExchangeFlags, into output: inout Output
  ) {
    context.emit(
      of: self, start: reply.start, end: reply.start, firstByte: reply.firstByte, request: nil, response: response,
      flags: flags, process: reply.process, into: &output)
  }
}
