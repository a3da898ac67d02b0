// A command is complete: what it is, whether it waits for a reply, and how the next one like it is known at once.
import TapWire

extension RedisFlow {
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
    if flags.contains(.malformed) { traits.keepOfMalformed() }
    if traits.blocking == .always || traits.blocking == .withOption && hasBlockOption() { flags.insert(.blocking) }
    if flags.contains(.gap) { doubtCommand(&traits, &flags, into: &output) }
    if traits.mayHoldSecrets || commands.damage == .name, context.masksSecrets {
      Secrets.redact(&commands)
      sawSecrets = true
    }
    let bytes = commands.writer.messageBytes
    commands.annotate(traits, isNameWhole: !flags.contains(.gap) || commands.isNameWhole)
    var request = PendingRequest(
      time: data.time, process: data.process, bytes: Int32(truncatingIfNeeded: bytes),
      annotationBytes: Int32(truncatingIfNeeded: commands.writer.messageBytes - bytes), flags: flags,
      effect: traits.effect, mayHoldSecrets: traits.mayHoldSecrets,
      confirmations: Int32(clamping: commands.argumentCount))
    if replyMode != .on || replication != nil || traits.changesSilence, !isAnswered(request, into: &output) {
      if traits.effect == .subscribe || traits.effect == .unsubscribe { subscriptions.areSilent = true }
      return emitUnanswerable(request, into: &output)
    }
    if isSilenceUnproven {
      request.isBehindSilence = true
      isSilenceUnproven = false
    }
    if !isVouched { request.flags.insert(.unvouched) }
    pending.append(request)
    if !isVouched {
      quietPoints.noteCommand()
      noteTie(commands.message)
    }
    // From here on its map is finished: a loss drops only what begins behind it.
    commands.writer.beginMessage()
    if !waiting.isEmpty { pairWaiting(into: &output) }
    // More than any pipeline holds: the replies must be lost.
    if pending.count > RESPLimits.pendingRequests {
      doubtPairs()
      giveUpPending(toCount: RESPLimits.pendingRequests / 2, into: &output)
    }
  }

  /// Whether the XREAD or XREADGROUP that is complete has BLOCK among the options before its streams; also where that is not
  /// to be seen any more.
  private func hasBlockOption() -> Bool {
    guard var words = RequestMap(commands.message)?.arguments else { return true }
    var valuesToCome = 0
    // GROUP with its two words, COUNT with one, NOACK, CLAIM: no more of them.
    for _ in 0..<16 {
      guard let word = try? words.readString() else { break }
      if valuesToCome > 0 {
        valuesToCome -= 1
        continue
      }
      switch String(decoding: word.prefix(8), as: UTF8.self).uppercased() {
      case "BLOCK": return true
      case "STREAMS": return false
      case "GROUP": valuesToCome = 2
      case "COUNT", "CLAIM": valuesToCome = 1
      default: break
      }
    }
    return !words.isAtEnd || commands.writer.isTouchedByGap || commands.writer.isCut
  }

  /// A command that the server does not answer goes out at once.
  private func emitUnanswerable(_ request: PendingRequest, into output: inout Output) {
    let (map, annotations) = split(commands.message, request)
    if ConnectionState.isSet(by: request.effect, map) { forgetState(into: &output) }
    var flags = request.flags.union(.noReply)
    // With nothing pending EXEC is answered.
    if isModePending, !pending.isEmpty {
      hasTentativeSilence = true
      flags.insert(.unvouched)
    }
    if replication != nil {
      flags.insert(.replication)
      // There are no pairs to be uncertain of.
      flags.remove(.unvouched)
    }
    context.emit(
      of: self, start: request.time, end: nil, firstByte: nil, request: map, response: nil, flags: flags,
      process: request.process, annotations: annotations, into: &output)
    commands.writer.dropMessage()
  }
}
