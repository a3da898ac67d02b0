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
}
