// Messages that answer nothing, in the modes that tell them apart, and what to think where the mode is not certain.
import TapWire

extension RedisFlow {
  /// Whether the first pending request is answered by confirmations.
  var isConfirmationAwaited: Bool {
    pending.first.map { $0.effect == .subscribe || $0.effect == .unsubscribe } ?? false
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
    if subscriptions.areSilent, !isConfirmationAwaited, let confirmation = Subscriptions.confirmation(response) {
      subscriptions.note(confirmation)
      return emit(reply, response, extraFlags: .push, into: &output)
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
    if let confirmation = Subscriptions.confirmation(response) {
      if isConfirmationAwaited { return answer(with: reply, response, into: &output) }
      if subscriptions.areSilent {
        subscriptions.note(confirmation)
      } else if pending.isEmpty, !wasUnvouched {
        // Its SUBSCRIBE may have been recorded behind it.
        return keepWaiting(reply, response, into: &output)
      }
    }
    emit(reply, response, extraFlags: .push, into: &output)
  }

  /// Whether a response looks like a message, though no SUBSCRIBE or MONITOR was seen: it may have been lost.
  private func isMessageOfUnknownMode(_ response: UnsafeRawBufferPointer) -> Bool {
    if !isMonitoring, Subscriptions.isMonitorLine(response) { return true }
    if !subscriptions.isActive, Subscriptions.isMessage(response) { return true }
    return !isConfirmationAwaited && Subscriptions.confirmation(response) != nil
  }

  // MARK: Doubts

  /// Order alone is not enough any more, up to the next quiet point.
  func doubtPairs() {
    quietPoints.loseReplies(hasSlow: pending.hasSlow)
    isVouched = false
    wasUnvouched = true
    pending.unvouch()
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
    quietPoints.loseCommands(hasSlow: pending.hasSlow)
    ties.forget()
    isVouched = false
    wasUnvouched = true
  }

  /// Bytes of a reply are missing: if they can hide that it is none, or how many there are, what follows is not certain.
  @inline(never)
  func doubtReply() {
    let oneReply: [CommandTraits.Effect] = [.none, .select, .auth, .client, .multi, .exec, .discard, .slow, .replconf]
    let isReplyExpected = pending.first.map { oneReply.contains($0.effect) } ?? true
    let isMode = isMonitoring || subscriptions.isActive && !subscriptions.usesPushes
    if isMode || !isReplyExpected { doubtPairs() }
  }
}
