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
    while let request = pending.first {
      if reply.isError || canAnswer(takeRequestMap(request), response) {
        return answer(with: reply, response, into: &output)
      }
      withdraw(into: &output)
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

  /// What was believed turned out to be wrong.
  private func withdraw(into output: inout Output) {
    guard isVouched else { return }
    quietPoints.loseCommands(hasSlow: pending.hasSlow)
    isVouched = false
    pending.unvouch()
    forgetState(into: &output)
  }

  /// A reply that only one pending command can have: the commands before it have lost theirs, and from here on order is
  /// enough.
  private func follow(tieOf response: UnsafeRawBufferPointer, into output: inout Output) {
    guard let content = ContentTies.content(response), let tie = ties.command(answeredBy: content) else { return }
    for _ in 0..<tie.index {
      guard let request = pending.first else { return }
      giveUp(request, flags: .unanswered, into: &output)
    }
    if tie.isCertain, !isInterleaved {
      quietPoints = QuietPoints(isJoined: false)
      pending.vouch()
      becomeVouched()
    }
  }

  private func becomeVouched() {
    ties.forget()
    isVouched = true
  }

  /// Certainty comes back at quiet points: both directions at a boundary that lengths proved, a reply last, and then
  /// silence. What is pending by then will not be answered any more, except a command that takes its time.
  func endQuietPoint(into output: inout Output) {
    let finding = quietPoints.end(hasPending: !pending.isEmpty)
    guard finding != .nothing else { return }
    giveUpPending(into: &output)
    if finding == .certain { becomeVouched() }
  }
}
