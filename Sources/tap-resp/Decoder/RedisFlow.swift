// One Redis connection: commands and replies are paired by their order within each direction, never by time.
import TapWire

/// Called by one thread and never from within itself: the stored properties are not checked for exclusive access at run
/// time, which cost a quarter of the stage.
package final class RedisFlow: FlowDecoder {
  // What every small exchange needs stands first, in as few lines of the cache as it fills: with many connections waiting for
  // memory is what takes the time.

  let context: RedisContext
  let id: UInt64
  let beginning: ExchangeBeginning?
  @exclusivity(unchecked) var lastTime: UInt64 = 0
  /// The longest that a reply took, of those that are certain and of commands that do not take their time on purpose.
  @exclusivity(unchecked) var slowestNanoseconds: UInt64 = 0
  /// Where the maps of `pending` begin in `commands.writer`.
  @exclusivity(unchecked) var requestsStart = 0
  @exclusivity(unchecked) var heldBytes = 0
  /// Of these what `commands` does not hold, when it was last looked at.
  @exclusivity(unchecked) var otherHeldBytes = 0
  /// Which direction holds the requests.
  let requestDirection: Direction
  /// Nothing is special about the connection, so that a plain command only has to wait for its reply.
  @exclusivity(unchecked) var areCommandsPlain = false
  /// The same for replies: each answers the first pending request.
  @exclusivity(unchecked) var areRepliesPlain = false
  @exclusivity(unchecked) var wasReplyLast = false
  /// Messages since the last loss, which prove the boundary of their direction.
  @exclusivity(unchecked) var commandsProved = false
  @exclusivity(unchecked) var repliesProved = false
  /// Whether pairs are certain: false from a loss, or from the join in the middle, to the next quiet point.
  @exclusivity(unchecked) var isVouched: Bool
  /// Requests without a reply so far.
  @exclusivity(unchecked) var pending = PendingRequests()
  @exclusivity(unchecked) var commands = CommandParser()

  /// `replies`, as long as a message of the server is coming.
  @exclusivity(unchecked) var borrowedReplies: UnsafeMutablePointer<ReplyParser>?
  /// Replies that were recorded before their request.
  @exclusivity(unchecked) var waiting = WaitingReplies()
  @exclusivity(unchecked) var subscriptions = Subscriptions()
  @exclusivity(unchecked) var isMonitoring = false
  @exclusivity(unchecked) var state: ConnectionState
  /// Exchanges that the filter has hidden since the last one that it showed.
  @exclusivity(unchecked) var hiddenExchanges: UInt64 = 0
  /// The database that the last connection frame has told.
  @exclusivity(unchecked) var toldDatabase: Int64?
  /// Set behind SYNC and PSYNC: what the server sends is a replication stream, and it answers nothing any more.
  @exclusivity(unchecked) var replication: ReplicationStream?
  @exclusivity(unchecked) var replyMode = ReplyMode.on
  /// CLIENT REPLY OFF or SKIP was sent, and no reply behind it has shown that the server did as it was told.
  @exclusivity(unchecked) var isSilenceUnproven = false
  /// Set by the server's answer to MULTI, until it has answered EXEC or DISCARD.
  @exclusivity(unchecked) var transaction: Transaction?
  /// Whether the reply that is coming was known to be EXEC's when it began.
  @exclusivity(unchecked) var isExecAwaited = false
  /// Whether MULTI was sent and not EXEC or DISCARD, and what CLIENT REPLY is to set behind EXEC.
  @exclusivity(unchecked) var isQueueing = false
  @exclusivity(unchecked) var queuedReplyMode: ReplyMode?
  /// EXEC was sent with such a CLIENT REPLY before it and is not answered, and a command was sent that it has silenced.
  @exclusivity(unchecked) var isModePending = false
  @exclusivity(unchecked) var hasTentativeSilence = false
  /// Whether a command came that may hold secrets: EXEC's errors can repeat those of a transaction.
  @exclusivity(unchecked) var sawSecrets = false
  /// Whether certainty was ever missing.
  @exclusivity(unchecked) var wasUnvouched: Bool
  /// Several threads use the connection at once: no order is certain any more, quiet or not.
  @exclusivity(unchecked) var isInterleaved: Bool
  @exclusivity(unchecked) var quietPoints: QuietPoints
  @exclusivity(unchecked) var ties = ContentTies()
  /// Set behind a loss, until a boundary is found.
  @exclusivity(unchecked) var commandSearch: BoundarySearch?
  @exclusivity(unchecked) var replySearch: BoundarySearch?
  @exclusivity(unchecked) var replyFirstByte: UInt64 = 0
  @exclusivity(unchecked) var skippedBytes: UInt64 = 0
  /// Bytes of the command and of the reply that are coming, in the frames before this one.
  @exclusivity(unchecked) var openCommandBytes: UInt64 = 0
  @exclusivity(unchecked) var openReplyBytes: UInt64 = 0
  /// When the last of these bytes of the command came.
  @exclusivity(unchecked) var openCommandTime: UInt64 = 0

  package init(id: UInt64, evidence: FlowEvidence, context: RedisContext) {
    self.id = id
    beginning = ExchangeBeginning(flow: id, protocolName: "redis")
    self.context = context
    requestDirection = RedisEvidence.requestDirection(evidence)
    isInterleaved = evidence.isInterleaved
    isVouched = evidence.isFromBeginning && !isInterleaved
    wasUnvouched = !isVouched
    state = ConnectionState(isJoined: !isVouched)
    quietPoints = QuietPoints(isJoined: !isVouched)
    if !isVouched {
      subscriptions.forgetCounts()
      commandSearch = BoundarySearch(for: .commands)
      replySearch = BoundarySearch(for: .replies)
    }
    super.init()
    context.add(self)
    noteMode()
  }

  deinit { borrowedReplies.map { RedisContext.free($0) } }

  // MARK: Bytes

  package override func receive(_ data: DataFrame, into output: inout Output) {
    let isReply = data.direction != requestDirection
    var taken = 0
    if isReply ? areRepliesPlain : areCommandsPlain {
      lastTime = max(lastTime, data.time)
      wasReplyLast = isReply
      taken = isReply ? takePlainReplies(data, into: &output) : takeWholeCommands(data.bytes, data, into: &output)
      if taken == data.bytes.count { return accountCommands(into: &output) }
    }
    receiveAnything(UnsafeRawBufferPointer(rebasing: data.bytes[taken...]), data, into: &output)
  }

  @inline(never)
  private func receiveAnything(_ bytes: UnsafeRawBufferPointer, _ data: DataFrame, into output: inout Output) {
    guard !bytes.isEmpty else { return }
    if state.isChanged { tellState(into: &output) }
    let isReply = data.direction != requestDirection
    if !isVouched { endSilence(at: data.time, isCommand: !isReply, into: &output) }
    lastTime = max(lastTime, data.time)
    wasReplyLast = isReply
    if !wasReplyLast {
      parse(bytes, of: .commands, data, into: &output)
    } else if let replication {
      receive(bytes, data, of: replication, into: &output)
    } else {
      parse(bytes, of: .replies, data, into: &output)
    }
    account(into: &output)
    noteMode()
    returnReplies()
  }

  /// Looks at everything that can be special about the connection. Called whenever some of it may have changed, so that the
  /// usual case has two bytes to look at.
  func noteMode() {
    areCommandsPlain =
      replication == nil && isVouched && !state.isChanged && replyMode == .on && !isSilenceUnproven && waiting.isEmpty
      && commandSearch == nil && commands.isAtBoundary
    areRepliesPlain =
      context.changesNothing && replication == nil && !wasUnvouched && !state.isChanged && !isMonitoring
      && !subscriptions.isActive
      && !subscriptions.areSilent && !subscriptions.hadShards
      && replySearch == nil && areRepliesAtBoundary && transaction == nil
  }

  // MARK: Losses and the end

  package override func update(_ flow: FlowFrame) {
    guard flow.isInterleaved, !isInterleaved else { return }
    isInterleaved = true
    doubtPairs()
    noteMode()
  }

  package override func lose(_ gap: GapFrame, into output: inout Output) {
    let isReply = gap.direction != requestDirection
    if !isVouched { endSilence(at: gap.time, isCommand: !isReply, into: &output) }
    lastTime = max(lastTime, gap.time)
    wasReplyLast = isReply
    // Nothing behind the missing bytes is parsed with them, but a value may end with them.
    let nothing = DataFrame(
      flow: id, direction: gap.direction, time: gap.time, offset: gap.offset,
      bytes: UnsafeRawBufferPointer(start: nil, count: 0))
    if !wasReplyLast {
      loseCommands(gap, nothing, into: &output)
    } else if let replication {
      lose(gap, nothing, of: replication, into: &output)
    } else {
      loseReplies(gap, nothing, into: &output)
    }
    account(into: &output)
    noteMode()
    returnReplies()
  }

  package override func close(at time: UInt64?, into output: inout Output) {
    finishAll(into: &output)
    returnReplies()
    context.noteSkipped(skippedBytes + (replication?.skippedBytes ?? 0))
    context.remove(self)
  }
}
