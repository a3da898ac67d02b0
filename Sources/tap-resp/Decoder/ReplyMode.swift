// CLIENT REPLY: which commands the server answers (networking.c of redis-server).
import TapWire

/// What CLIENT REPLY has set.
enum ReplyMode {
  case on
  case off
  /// The next command is not answered.
  case skip
}

extension RedisFlow {
  /// Whether a command gets a reply; follows CLIENT REPLY as networking.c of redis-server does.
  func isAnswered(_ request: PendingRequest, into output: inout Output) -> Bool {
    if replication != nil { return false }
    // Inside of a transaction it is queued like any other, and has no reply in EXEC's.
    if request.effect == .replconf, !isQueueing, isAcknowledgement(commands.message) {
      noteAcknowledgement(into: &output)
      return false
    }
    if request.effect == .client, let mode = RedisFlow.clientReplyMode(commands.message) {
      // The same: it acts when EXEC does.
      guard !isQueueing else {
        queuedReplyMode = RedisFlow.replyMode(queuedReplyMode ?? .on, changedTo: mode)
        // Which replies of EXEC's array there are depends on a MULTI that nothing has answered.
        if replyMode == .off { withdraw(into: &output) }
        return true
      }
      replyMode = RedisFlow.replyMode(replyMode, changedTo: mode)
      if mode != .on { isSilenceUnproven = true }
      return mode == .on
    }
    // RESET is answered even while replies are off.
    if request.effect == .reset, replyMode == .off { replyMode = .on }
    let mode = replyMode
    if mode == .skip {
      replyMode = .on
      if request.effect == .multi { withdraw(into: &output) }
    }
    noteQueueing(request.effect)
    return mode == .on
  }

  /// Replies are not switched off as was believed: commands that were taken for silenced have replies.
  func endReplySilence(into output: inout Output) {
    replyMode = .on
    isSilenceUnproven = false
    withdraw(into: &output)
  }

  private static func replyMode(_ mode: ReplyMode, changedTo new: ReplyMode) -> ReplyMode {
    // SKIP while OFF changes nothing.
    new == .skip && mode == .off ? .off : new
  }

  /// Whether an error may refuse CLIENT REPLY or MONITOR: any may (NOAUTH, NOPERM, what a server says that does not know it),
  /// but for those about keys and scripts, of which they have none.
  static func mayRefuse(_ response: UnsafeRawBufferPointer) -> Bool {
    guard var value = Subscriptions.value(of: response, type: "error"), let text = try? value.readString() else {
      return true
    }
    let code = String(decoding: text.prefix { $0 != 0x20 }, as: UTF8.self)
    return !["WRONGTYPE", "NOSCRIPT", "MOVED", "ASK", "CROSSSLOT", "TRYAGAIN", "OOM", "READONLY"].contains(code)
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
}
