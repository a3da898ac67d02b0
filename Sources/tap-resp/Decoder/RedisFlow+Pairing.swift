// How commands meet their replies, in each mode that changes the one-to-one rule.
import TapWire

extension RedisFlow {
  // MARK: Commands

  /// A command was taken at once: the next that begins like it is found by that, if nothing is special about them.
  func noteShape(_ bytes: UnsafeRawBufferPointer, _ position: Int) {
    let map = commands.writer.bytes.bytes
    let traits = CommandTable.shared.traits(of: commands.name)
    guard traits.isPlain, bytes.count - position >= 16, map.count - commands.writer.messageStart >= 32,
      let input = bytes.baseAddress, let maps = map.baseAddress, commands.argumentCount < 9
    else { return }
    var keys: UInt8 = 0
    for key in CommandKeys.constant(traits, argumentCount: Int(commands.argumentCount) + 1) where key <= 8 {
      keys |= 1 << UInt8(key - 1)
    }
    context.shapes.note(
      input + position, map: maps + commands.writer.messageStart, argumentCount: Int(commands.argumentCount),
      keys: keys, commandClass: traits.commandClass)
  }

  /// A command is complete: its map is the last in the parser's buffer.
  @inline(never)
  func finishCommand(_ data: DataFrame, extraFlags: ExchangeFlags, into output: inout Output) {
    var traits = CommandTable.shared.traits(of: commands.name)
    var flags = extraFlags
    if commands.writer.isCut { flags.insert(.cut) }
    if commands.writer.isTouchedByGap { flags.insert(.gap) }
    if !isVouched { flags.insert(.unvouched) }
    if traits.isBlocking { flags.insert(.blocking) }
    if flags.contains(.gap) { doubtCommand(&traits, &flags, into: &output) }
    if traits.mayHoldSecrets {
      Secrets.redact(&commands.writer)
      sawSecrets = true
    }
    let bytes = commands.writer.messageBytes
    commands.annotate(traits, isNameWhole: !flags.contains(.gap) || commands.isNameWhole)
    let request = PendingRequest(
      time: data.time, process: data.process, bytes: Int32(truncatingIfNeeded: bytes),
      annotationBytes: Int32(truncatingIfNeeded: commands.writer.messageBytes - bytes), flags: flags,
      effect: traits.effect, mayHoldSecrets: traits.mayHoldSecrets,
      confirmations: Int32(clamping: commands.argumentCount))
    if replyMode != .on || replication != nil || traits.changesSilence, !isAnswered(request, into: &output) {
      if traits.effect == .subscribe || traits.effect == .unsubscribe { subscriptions.areSilent = true }
      return emitUnanswerable(request, into: &output)
    }
    pending.append(request)
    if !isVouched {
      quietPoints.noteCommand(isSlow: request.isSlow)
      noteTie(commands.message)
    }
    // From here on its map is finished: a loss drops only what begins behind it.
    commands.writer.beginMessage()
    if !waiting.isEmpty { pairWaiting(into: &output) }
    if pending.count > RESPLimits.pendingRequests { giveUpPairing(into: &output) }
  }

  /// Whether a command gets a reply; follows CLIENT REPLY as networking.c of redis-server does.
  private func isAnswered(_ request: PendingRequest, into output: inout Output) -> Bool {
    if request.effect == .replconf, isAcknowledgement() { noteAcknowledgement(into: &output) }
    if replication != nil || request.effect == .replconf && isAcknowledgement() { return false }
    if request.effect == .client, let mode = RedisFlow.clientReplyMode(commands.message) {
      // Inside of a transaction it is queued like any other, and acts when EXEC does.
      guard !isQueueing else {
        queuedReplyMode = RedisFlow.replyMode(queuedReplyMode ?? .on, changedTo: mode)
        return true
      }
      replyMode = RedisFlow.replyMode(replyMode, changedTo: mode)
      return mode == .on
    }
    // RESET is answered even while replies are off.
    if request.effect == .reset, replyMode == .off { replyMode = .on }
    let mode = replyMode
    if mode == .skip { replyMode = .on }
    noteQueueing(request.effect, isAnswered: mode == .on)
    return mode == .on
  }

  private static func replyMode(_ mode: ReplyMode, changedTo new: ReplyMode) -> ReplyMode {
    // SKIP while OFF changes nothing.
    new == .skip && mode == .off ? .off : new
  }

  /// What `CLIENT REPLY …` asks for, if the request is one.
  static func clientReplyMode(_ request: UnsafeRawBufferPointer) -> ReplyMode? {
    guard let request = RequestMap(request), request.argumentCount == 2, request.argument(0)?.uppercased() == "REPLY"
    else { return nil }
    switch request.argument(1)?.uppercased() {
    case "ON": return .on
    case "OFF": return .off
    case "SKIP": return .skip
    default: return nil
    }
  }

  /// A command that the server does not answer goes out at once.
  private func emitUnanswerable(_ request: PendingRequest, into output: inout Output) {
    let (map, annotations) = split(commands.message, request)
    if ConnectionState.isSet(by: request.effect, map) { forgetState(into: &output) }
    var flags = request.flags.union(.noReply)
    if replication != nil {
      flags.insert(.replication)
      // There are no pairs to be uncertain of.
      flags.remove(.unvouched)
    }
    context.emit(
      flow: id, start: request.time, end: nil, firstByte: nil, request: map, response: nil, flags: flags,
      process: request.process, annotations: annotations, into: &output)
    commands.writer.dropMessage()
  }

  /// The first pending request will not be answered any more.
  func giveUp(_ request: PendingRequest, flags: ExchangeFlags, into output: inout Output) {
    if ConnectionState.isSet(by: request.effect, takeRequestMap(request)) { forgetState(into: &output) }
    context.emit(
      flow: id, start: request.time, end: nil, firstByte: nil, request: takeRequestMap(request), response: nil,
      flags: request.flags.union(flags), process: request.process, annotations: takeAnnotations(request),
      into: &output)
    removeFirstPending()
  }

  /// More requests wait than any pipeline holds: the replies must be lost.
  private func giveUpPairing(into output: inout Output) {
    doubtPairs()
    giveUpPending(toCount: RESPLimits.pendingRequests / 2, into: &output)
  }

  /// Those that wait longest will not be answered any more.
  func giveUpPending(toCount count: Int, into output: inout Output) {
    while pending.count > count, let request = pending.first { giveUp(request, flags: .unanswered, into: &output) }
    pending.shrink()
    if requestsStart > 0 {
      commands.removeFinished(from: 0, to: requestsStart)
      requestsStart = 0
    }
  }

  /// The map of the first pending request. Valid until the buffer changes.
  @inline(__always)
  func takeRequestMap(_ request: PendingRequest) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(
      rebasing: commands.writer.bytes.bytes[requestsStart..<requestsStart &+ Int(request.bytes)])
  }

  /// The annotations of the first pending request, valid as long.
  @inline(__always)
  func takeAnnotations(_ request: PendingRequest) -> UnsafeRawBufferPointer {
    let start = requestsStart &+ Int(request.bytes)
    return UnsafeRawBufferPointer(rebasing: commands.writer.bytes.bytes[start..<start &+ Int(request.annotationBytes)])
  }

  /// A request map and its annotations, which lie one behind the other.
  func split(
    _ bytes: UnsafeRawBufferPointer, _ request: PendingRequest
  ) -> (map: UnsafeRawBufferPointer, annotations: UnsafeRawBufferPointer) {
    let end = Int(request.bytes)
    return (
      UnsafeRawBufferPointer(rebasing: bytes[..<end]),
      UnsafeRawBufferPointer(rebasing: bytes[end..<request.heldBytes])
    )
  }

  func removeFirstPending() {
    guard let request = pending.first else { return }
    if wasUnvouched { ties.noteRemoved() }
    pending.removeFirst()
    dropRequestMaps(request.heldBytes)
  }

  /// Forgets the first maps of `pending`, of so many bytes in all.
  @inline(__always)
  func dropRequestMaps(_ bytes: Int) {
    requestsStart &+= bytes
    if pending.isEmpty, commands.isAtBoundary {
      commands.writer.clear(keepingBytes: context.keptBytes)
      requestsStart = 0
    } else if requestsStart >= 64 << 10, requestsStart * 2 >= commands.writer.bytes.count {
      commands.removeFinished(from: 0, to: requestsStart)
      requestsStart = 0
    }
  }

  /// Cuts the values of requests that wait, each by itself, so that their lengths stay known.
  func cutPendingValues(toBytes target: Int) {
    let start = requestsStart
    let end = commands.writer.messageStart
    guard end - start > target else { return }
    let all = UnsafeRawBufferPointer(rebasing: commands.writer.bytes.bytes[start..<end])
    let length = ValueTrimmer.threshold(for: target, of: all, comingBytes: 0)
    var read = start
    var written = start
    let base = commands.writer.bytes.mutableBytes
    pending.update { $0.trim(to: length, in: base, from: &read, to: &written) }
    commands.removeFinished(from: written, to: end)
  }

  // MARK: Messages of the server

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
    if kind == .push || subscriptions.isActive || isMonitoring || wasUnvouched || subscriptions.areSilent {
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
    if request.effect == .none, !request.mayHoldSecrets, !request.flags.contains(.unvouched), transaction == nil {
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
    if reply.start < request.time { flags.insert(.clamped) }
    context.emit(
      flow: id, start: request.time, end: max(reply.start, request.time), firstByte: reply.firstByte,
      request: takeRequestMap(request), response: response, flags: flags, process: request.process ?? reply.process,
      annotations: takeAnnotations(request), into: &output)
    removeFirstPending()
  }

  /// A reply that changes more than its request, or that must not go out as it is.
  private func answerSpecial(
    _ request: PendingRequest, _ reply: WaitingReply, _ response: UnsafeRawBufferPointer, into output: inout Output
  ) {
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

  /// What a reply tells of the connection.
  func follow(
    _ effect: CommandTraits.Effect, _ request: UnsafeRawBufferPointer, _ response: UnsafeRawBufferPointer,
    isError: Bool, _ flags: ExchangeFlags
  ) {
    if ConnectionState.isSet(by: effect, request) {
      // What may be another command's reply says nothing, nor does a request that is not whole.
      if !isVouched || !flags.isDisjoint(with: [.unvouched, .gap, .cut]) {
        state.forget()
      } else if !isError {
        state.follow(effect, request)
      }
    }
    guard !isError else { return }
    switch effect {
    case .monitor:
      isMonitoring = Subscriptions.isSimpleString("OK", response)
    case .reset:
      isMonitoring = false
      subscriptions = Subscriptions()
    case .hello:
      subscriptions.usesPushes = Subscriptions.isMap(response)
    default:
      break
    }
  }

  /// Something may have changed the state of the connection that nobody saw.
  func forgetState(into output: inout Output) {
    state.forget()
    if state.isChanged { tellState(into: &output) }
  }

  /// The exchanges that follow are made in another state of the connection.
  func tellState(into output: inout Output) {
    state.isChanged = false
    let map = state.encoded
    ConnectionFrame(flow: id, state: map.bytes).append(to: &output.buffer)
    output.endRecord()
  }

  /// One of the confirmations of a SUBSCRIBE or UNSUBSCRIBE: the last one completes the exchange.
  private func confirm(
    _ request: PendingRequest, _ reply: WaitingReply, _ response: UnsafeRawBufferPointer, into output: inout Output
  ) {
    guard let confirmation = Subscriptions.confirmation(response) else {
      // An error, or QUEUED inside of a transaction.
      subscriptions.forgetConfirmations()
      return pair(request, reply, response: response, into: &output)
    }
    let expected = subscriptions.expected(by: request, first: confirmation)
    subscriptions.note(confirmation)
    subscriptions.usesPushes = reply.isPush
    if expected <= 1, subscriptions.collected == 0 { return pair(request, reply, response: response, into: &output) }
    subscriptions.collect(response, firstByte: reply.firstByte)
    guard subscriptions.collected >= expected else { return }
    var whole = reply
    whole.firstByte = subscriptions.firstByte
    if subscriptions.isCut { whole.flags.insert(.cut) }
    let all = subscriptions.takeCollected()
    pair(request, whole, response: all.bytes, into: &output)
  }

  // MARK: Replies without a request

  /// A reply can be recorded before its request on a busy machine. Where pairing was never in doubt it waits for it.
  func keepWaiting(_ reply: WaitingReply, _ response: UnsafeRawBufferPointer, into output: inout Output) {
    let hasRoom = waiting.count < RESPLimits.waitingReplies && waiting.heldBytes < RESPLimits.exchangeBytes
    if let stream = ReplicationStream(announcedBy: response) {
      // Nothing but PSYNC is answered like this, which was recorded behind it or not at all.
      emit(reply, response, extraFlags: [], into: &output)
      return begin(stream, into: &output)
    }
    if !wasUnvouched, hasRoom { return waiting.append(reply, response) }
    // A reply to nothing contradicts what a quiet point promised.
    if isVouched { loseCertaintyOfCommands() }
    quietPoints.noteReply()
    waiting.visit { reply, response in emit(reply, response, extraFlags: .unvouched, into: &output) }
    waiting.removeAll()
    emit(reply, response, extraFlags: .unvouched, into: &output)
  }

  /// A request has come: what waited for it is paired, and what its mode explains goes out.
  private func pairWaiting(into output: inout Output) {
    while let isMessage = waiting.visitFirst({ isMessageOfItsOwn($0, $1) }), isMessage || !pending.isEmpty,
      let (reply, response) = waiting.takeFirst()
    {
      response.withUnsafeBytes { response in
        if isMessage || reply.isPush && !isConfirmationAwaited {
          emit(reply, response, extraFlags: isMonitoring && !reply.isPush ? .monitor : .push, into: &output)
        } else {
          answer(with: reply, response, into: &output)
        }
      }
    }
  }

  func emit(
    _ reply: WaitingReply, _ response: UnsafeRawBufferPointer, extraFlags: ExchangeFlags, into output: inout Output
  ) {
    var flags = reply.flags.union(extraFlags)
    if flags.isDisjoint(with: [.push, .monitor]) { flags.insert(.unrequested) }
    if !isVouched { flags.insert(.unvouched) }
    // Nobody knows whose secrets a reply without a request repeats; a line of MONITOR says it.
    let redacted =
      flags.contains(.monitor)
      ? Secrets.redactedMonitorLine(response) : Secrets.redacted(response, isError: reply.isError)
    if let redacted {
      return emit(reply, redacted.bytes, flags, into: &output)
    }
    emit(reply, response, flags, into: &output)
  }

  private func emit(
    _ reply: WaitingReply, _ response: UnsafeRawBufferPointer, _ flags: ExchangeFlags, into output: inout Output
  ) {
    context.emit(
      flow: id, start: reply.start, end: reply.start, firstByte: reply.firstByte, request: nil, response: response,
      flags: flags, process: reply.process, into: &output)
  }
}
