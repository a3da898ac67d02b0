// What the connection still knows when bytes of a direction are missing or make no sense, and when it ends.
import TapWire

extension RedisFlow {
  func loseReplies(_ gap: GapFrame, _ nothing: DataFrame, into output: inout Output) {
    if replySearch != nil {
      endSearch(.replies)
    } else {
      if replies.skip(gap.length) { return parse(nothing.bytes, of: .replies, nothing, into: &output) }
      endOpenReply(nothing, extraFlags: .gap, into: &output)
      loseStepInReplies(into: &output)
    }
    quietPoints.loseBoundaryOfReplies()
    replySearch = BoundarySearch(for: .replies)
  }

  func loseCommands(_ gap: GapFrame, _ nothing: DataFrame, into output: inout Output) {
    if commandSearch != nil {
      endSearch(.commands)
      loseCertaintyOfCommands()
    } else {
      if commands.skip(gap.length) { return parse(nothing.bytes, of: .commands, nothing, into: &output) }
      endOpenCommand(nothing, extraFlags: .gap, into: &output)
      loseStepInCommands(into: &output)
    }
    commandSearch = BoundarySearch(for: .commands)
  }

  /// The command that is coming ends where it stands: it is shown, or its bytes are counted.
  func endOpenCommand(_ data: DataFrame, extraFlags: ExchangeFlags, into output: inout Output) {
    if commands.endUnfinished(extraFlags.contains(.malformed) ? .malformed : .incomplete) {
      finishCommand(data, extraFlags: extraFlags, into: &output)
    } else {
      skippedBytes &+= openCommandBytes
    }
    openCommandBytes = 0
  }

  /// The same of the reply that is coming.
  func endOpenReply(_ data: DataFrame, extraFlags: ExchangeFlags, into output: inout Output) {
    if replies.endIncomplete() {
      finishMessage(replies.kind, data, extraFlags: extraFlags, into: &output)
    } else {
      skippedBytes &+= openReplyBytes
    }
    openReplyBytes = 0
  }

  /// Commands are missing, nobody knows how many: those that are pending keep their place, later ones have none.
  func loseStepInCommands(into output: inout Output) {
    commands.startOver()
    commands.writer.dropMessage()
    commandsProved = false
    loseCertaintyOfCommands()
    forgetState(into: &output)
    // Replies may have been switched off or on where nobody saw it.
    replyMode = .on
    isSilenceUnproven = false
    isModePending = false
    hasTentativeSilence = false
    isQueueing = false
    queuedReplyMode = nil
    // How many elements EXEC's array has is not known either, and so not where the reply behind it begins.
    if transaction != nil { pending.unvouch() }
    releaseTransaction(extraFlags: .unvouched, into: &output)
    emitWaiting(extraFlags: .unvouched, into: &output)
  }

  /// Replies are missing: no pending command knows its reply any more.
  func loseStepInReplies(into output: inout Output) {
    replies.startOver()
    repliesProved = false
    doubtPairs()
    releaseTransaction(extraFlags: .unvouched, into: &output)
    subscriptions.forgetConfirmations()
  }

  // MARK: Searches

  func isSearching(_ side: Side) -> Bool { side == .commands ? commandSearch != nil : replySearch != nil }

  func search(_ side: Side, in bytes: UnsafeRawBufferPointer) -> BoundarySearch.Found? {
    if side == .commands { return commandSearch?.add(bytes) }
    return replySearch?.add(bytes)
  }

  func endSearch(_ side: Side) {
    if side == .commands {
      let skipped = commandSearch?.skippedBytes ?? 0
      if skipped > 0 { quietPoints.skipCommand() }
      skippedBytes += skipped
      commandSearch = nil
    } else {
      let skipped = replySearch?.skippedBytes ?? 0
      if skipped > 0 { quietPoints.skipReply() }
      skippedBytes += skipped
      replySearch = nil
    }
  }

  // MARK: Silence and the end

  /// Bytes come at `time`: if nothing moved for long enough before, that was a quiet point.
  ///
  /// Long enough is what a reply never took on this connection: of twice the time of the slowest one, so that none can be
  /// under way, however far the server is.
  func endSilence(at time: UInt64, isCommand: Bool, into output: inout Output) {
    let quietNanoseconds = max(RESPLimits.quietNanoseconds, 2 &* slowestNanoseconds)
    guard !isInterleaved, time >= lastTime, time - lastTime >= quietNanoseconds else { return }
    // A command that takes its time is answered when a client that takes turns goes on.
    let takesTurns = quietPoints.mayTakeTurns && pending.tookTurns(QuietPoints.enough)
    let hasSlow = pending.hasSlow && !(isCommand && !quietPoints.mayHideCommands && takesTurns)
    let isAtRest =
      wasReplyLast && commandSearch == nil && replySearch == nil && commandsProved && repliesProved
      && commands.isAtBoundary && replies.isAtBoundary
    if isAtRest { endQuietPoint(hasSlow: hasSlow, into: &output) }
  }

  /// Hands out everything that is not whole or still waits.
  func finishAll(into output: inout Output) {
    endSearch(.commands)
    endSearch(.replies)
    let end = DataFrame(
      flow: id, direction: .sent, time: lastTime, offset: 0, bytes: UnsafeRawBufferPointer(start: nil, count: 0))
    // Its error may have been recorded before it.
    let isRefused = waiting.visitFirst({ isRefusal($0, $1) }) == true
    endOpenCommand(end, extraFlags: isRefused ? .malformed : .incomplete, into: &output)
    if let replication {
      finish(replication, end, into: &output)
    } else {
      endOpenReply(end, extraFlags: .incomplete, into: &output)
    }
    releaseTransaction(extraFlags: [], into: &output)
    giveUpPending(into: &output)
    emitWaiting(extraFlags: [], into: &output)
  }
}
