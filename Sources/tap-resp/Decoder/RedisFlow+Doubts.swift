// What is done with replies and silences on a connection on which pairs were not certain all the time.
import TapWire

extension RedisFlow {
  /// A command has come whose reply will tell that it is its own.
  func noteTie(_ request: UnsafeRawBufferPointer) {
    if let argument = ContentTies.argument(request) { ties.note(argument, pendingCount: pending.count) }
  }

  /// Pairs a reply with the first pending request that it can answer.
  ///
  /// Where a request cannot have this reply, either the reply answers a command that nobody saw, or the request's own reply
  /// was lost.
  func answerInDoubt(_ reply: WaitingReply, _ response: UnsafeRawBufferPointer, into output: inout Output) {
    if !isVouched { follow(tieOf: response, into: &output) }
    // In a transaction that nobody saw begin: what EXEC's array will hold cannot be counted.
    if !isInDoubt, transaction == nil, Subscriptions.isSimpleString("QUEUED", response) { withdraw(into: &output) }
    while let request = pending.first {
      if reply.isError || canAnswer(takeRequestMap(request), response) {
        return answer(with: reply, response, into: &output)
      }
      if !isInDoubt { withdraw(into: &output) }
      quietPoints.noteContradiction()
      if quietPoints.mayHideCommands {
        quietPoints.noteReply()
        return emit(reply, response, extraFlags: [], into: &output)
      }
      giveUp(request, flags: .unanswered, into: &output)
    }
    answer(with: reply, response, into: &output)
  }

  private func canAnswer(_ request: UnsafeRawBufferPointer, _ response: UnsafeRawBufferPointer) -> Bool {
    guard let name = RequestMap(request)?.nameBytes else { return true }
    guard ReplyForms.allow(response, to: CommandName(name)) else { return false }
    guard let argument = ContentTies.argument(request), let content = ContentTies.content(response) else { return true }
    return argument.elementsEqual(content)
  }

  /// Whether the next pair is in doubt: where commands were lost, those before them keep their place and are vouched for.
  var isInDoubt: Bool { !isVouched && pending.first?.flags.contains(.unvouched) != false }

  /// What was believed turned out to be wrong, or cannot be known: every command that waits is in doubt.
  func withdraw(into output: inout Output) {
    loseCertaintyOfCommands()
    pending.unvouch()
    forgetState(into: &output)
  }

  /// A reply that only one pending command can have: the commands before it have lost theirs, and from here on order is
  /// enough. Itself it is in doubt where its beginning had to be looked for: it may be the end of an array (that of PING in
  /// RESP2's subscribed mode).
  private func follow(tieOf response: UnsafeRawBufferPointer, into output: inout Output) {
    guard let content = ContentTies.content(response), let tie = ties.command(answeredBy: content) else { return }
    var isCertain = tie.isCertain && !isInterleaved && transaction == nil
    for _ in 0..<tie.index {
      guard let request = pending.first else { return }
      // It may have this reply as well.
      if canAnswer(takeRequestMap(request), response) { isCertain = false }
      giveUp(request, flags: .unanswered, into: &output)
    }
    if isCertain {
      pending.vouch(butFirst: quietPoints.isBoundaryFound)
      quietPoints = QuietPoints(isJoined: false)
      becomeVouched()
    }
  }

  private func becomeVouched() {
    ties.forget()
    isVouched = true
    pending.resumeTurns()
  }

  /// Certainty comes back at quiet points: both directions at a boundary that lengths proved, a reply last, and then
  /// silence. What is pending by then will not be answered any more, up to a command that takes its time (`hasSlow`).
  func endQuietPoint(hasSlow: Bool, into output: inout Output) {
    let finding = quietPoints.end(
      hasPending: !pending.isEmpty, hasSlow: hasSlow, isInTransaction: transaction != nil)
    if finding != .nothing {
      while let request = pending.first, !hasSlow || !request.isSlow {
        giveUp(request, flags: .unanswered, into: &output)
      }
    }
    let lost = quietPoints.noteFront(ties.removed, count: pending.count)
    giveUpPending(toCount: pending.count - lost, into: &output)
    if finding == .certain { becomeVouched() }
  }
}
