// Messages that answer nothing, in the modes that tell them apart, and what to think where the mode is not certain.
import TapWire

extension RedisFlow {
  /// Whether a confirmation answers the first pending request. Others come unasked, or their request was not seen.
  func isAwaited(_ confirmation: Subscriptions.Confirmation) -> Bool {
    guard let request = pending.first, request.effect == .subscribe || request.effect == .unsubscribe,
      let map = RequestMap(takeRequestMap(request)), map.nameText ?? confirmation.command == confirmation.command
    else { return false }
    guard confirmation.mayComeUnasked || subscriptions.areSilent,
      let asked = map.argumentBytes(Int(subscriptions.collected)),
      let channel = confirmation.channel
    else { return true }
    return asked.elementsEqual(channel)
  }

  /// Whether a message that is no push answers nothing, in the mode that the connection is in.
  func isMessageOfItsOwn(_ reply: WaitingReply, _ response: UnsafeRawBufferPointer) -> Bool {
    if reply.isPush { return false }
    if isMonitoring, Subscriptions.isMonitorLine(response) { return true }
    // With RESP3 such an array is an ordinary reply.
    return subscriptions.isActive && !subscriptions.usesPushes && Subscriptions.isMessage(response)
  }

  /// Messages in modes in which not everything is a reply.
  func finishSpecial(
    _ reply: WaitingReply, _ response: UnsafeRawBufferPointer, into output: inout Output
  ) {
    if reply.isPush { return finishPush(reply, response, into: &output) }
    if isMessageOfItsOwn(reply, response) {
      return emitMessage(reply, response, into: &output)
    }
    if let confirmation = Subscriptions.confirmation(response), isOfItsOwn(confirmation, response) {
      return emit(confirmation, reply, response, into: &output)
    }
    if wasUnvouched, isMessageOfUnknownMode(response) {
      // It may as well be the reply to a command: what follows is not certain.
      doubtPairs()
      return emitMessage(reply, response, into: &output)
    }
    if wasUnvouched { return answerInDoubt(reply, response, into: &output) }
    answer(with: reply, response, into: &output)
  }

  private func finishPush(_ reply: WaitingReply, _ response: UnsafeRawBufferPointer, into output: inout Output) {
    guard let confirmation = Subscriptions.confirmation(response) else {
      return emit(reply, response, extraFlags: .push, into: &output)
    }
    if isAwaited(confirmation) { return answer(with: reply, response, into: &output) }
    if !subscriptions.areSilent, pending.isEmpty, !wasUnvouched {
      // Its SUBSCRIBE may have been recorded behind it.
      return keepWaiting(reply, response, into: &output)
    }
    emit(confirmation, reply, response, into: &output)
  }

  /// Whether a confirmation that is no push answers nothing, for certain.
  private func isOfItsOwn(_ confirmation: Subscriptions.Confirmation, _ response: UnsafeRawBufferPointer) -> Bool {
    if isAwaited(confirmation) { return false }
    return subscriptions.areSilent
      || confirmation.mayComeUnasked && subscriptions.hadShards && !subscriptions.usesPushes && !pending.isEmpty
  }

  /// A confirmation that answers nothing.
  func emit(
    _ confirmation: Subscriptions.Confirmation, _ reply: WaitingReply, _ response: UnsafeRawBufferPointer,
    into output: inout Output
  ) {
    // Where its command was not seen, others may be missing.
    if !isInDoubt, !subscriptions.areSilent, !confirmation.mayComeUnasked { withdraw(into: &output) }
    subscriptions.note(confirmation, isCertain: isVouched)
    emit(reply, response, extraFlags: .push, into: &output)
  }

  /// Whether a response looks like a message, though no SUBSCRIBE or MONITOR was seen: it may have been lost.
  private func isMessageOfUnknownMode(_ response: UnsafeRawBufferPointer) -> Bool {
    if !isMonitoring, Subscriptions.isMonitorLine(response) { return true }
    if !subscriptions.isActive, Subscriptions.isMessage(response) { return true }
    return Subscriptions.confirmation(response).map { !isAwaited($0) } ?? false
  }

  // MARK: Doubts

  /// Order alone is not enough any more, up to the next quiet point.
  func doubtPairs() {
    noteDoubt()
    quietPoints.loseReplies()
    pending.unvouch()
  }

  /// From here on pairs are in doubt, and with them what they told.
  private func noteDoubt() {
    if isVouched { pending.rememberTurns() }
    isVouched = false
    wasUnvouched = true
    subscriptions.forgetCounts()
  }

  /// Bytes of a command are missing: if they can hide how many replies it has, what follows is not certain.
  @inline(never)
  func doubtCommand(_ traits: inout CommandTraits, _ flags: inout ExchangeFlags, into output: inout Output) {
    let isNameKnown = commands.isNameWhole
    if !isNameKnown { traits = CommandTraits(effect: .slow, mayHoldSecrets: true) }
    guard !isNameKnown || traits.effect == .client else { return }
    flags.insert(.unvouched)
    forgetState(into: &output)
    loseCertaintyOfCommands()
  }

  /// Commands may be missing from here on.
  func loseCertaintyOfCommands() {
    noteDoubt()
    quietPoints.loseCommands()
    ties.forget()
  }

  /// Bytes of a reply are missing: if they can hide that it is none, or how many there are, what follows is not certain.
  @inline(never)
  func doubtReply() {
    // Messages and confirmations are arrays or pushes.
    guard let type = Subscriptions.value(of: replies.writer.bytes.bytes)?.type, type == "array" || type == "push" else {
      return
    }
    let oneReply: [CommandTraits.Effect] = [.none, .select, .auth, .client, .multi, .exec, .discard, .slow, .replconf]
    // Where nothing is pending, its request may come behind it.
    let isReplyExpected = pending.first.map { oneReply.contains($0.effect) } ?? false
    let isMode = isMonitoring || !subscriptions.areKnown || subscriptions.isActive && !subscriptions.usesPushes
    if isMode || !isReplyExpected || transaction?.hasSubscriptions == true { doubtPairs() }
  }
}
