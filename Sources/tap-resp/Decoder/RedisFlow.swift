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
  @exclusivity(unchecked) private var lastTime: UInt64 = 0
  /// Where the maps of `pending` begin in `commands.writer`.
  @exclusivity(unchecked) var requestsStart = 0
  @exclusivity(unchecked) private(set) var heldBytes = 0
  /// Of these what `commands` does not hold, when it was last looked at.
  @exclusivity(unchecked) private var otherHeldBytes = 0
  /// Which direction holds the requests.
  let requestDirection: Direction
  /// Nothing is special about the connection, so that a plain command only has to wait for its reply.
  @exclusivity(unchecked) private(set) var areCommandsPlain = false
  /// The same for replies: each answers the first pending request.
  @exclusivity(unchecked) private var areRepliesPlain = false
  @exclusivity(unchecked) private var wasReplyLast = false
  /// Messages since the last loss, which prove the boundary of their direction.
  @exclusivity(unchecked) var commandsProved = false
  @exclusivity(unchecked) var repliesProved = false
  /// Whether pairs are certain: false from a loss, or from the join in the middle, to the next quiet point.
  @exclusivity(unchecked) var isVouched: Bool
  /// Requests without a reply so far.
  @exclusivity(unchecked) var pending = PendingRequests()
  @exclusivity(unchecked) var commands = CommandParser()

  @exclusivity(unchecked) var replies = ReplyParser()
  /// Replies that were recorded before their request.
  @exclusivity(unchecked) var waiting = WaitingReplies()
  @exclusivity(unchecked) var subscriptions = Subscriptions()
  @exclusivity(unchecked) var isMonitoring = false
  @exclusivity(unchecked) var state: ConnectionState
  /// Set behind SYNC and PSYNC: what the server sends is a replication stream, and it answers nothing any more.
  @exclusivity(unchecked) var replication: ReplicationStream?
  @exclusivity(unchecked) var replyMode = ReplyMode.on
  /// Set by the server's answer to MULTI, until it has answered EXEC or DISCARD.
  @exclusivity(unchecked) var transaction: Transaction?
  /// Whether MULTI was sent and not EXEC or DISCARD, and what CLIENT REPLY is to set behind EXEC.
  @exclusivity(unchecked) var isQueueing = false
  @exclusivity(unchecked) var queuedReplyMode: ReplyMode?
  /// Whether a command came that may hold secrets: EXEC's errors can repeat those of a transaction.
  @exclusivity(unchecked) var sawSecrets = false
  /// Whether certainty was ever missing.
  @exclusivity(unchecked) var wasUnvouched: Bool
  /// Several threads use the connection at once: no order is certain any more, quiet or not.
  @exclusivity(unchecked) private(set) var isInterleaved: Bool
  @exclusivity(unchecked) var quietPoints: QuietPoints
  @exclusivity(unchecked) var ties = ContentTies()
  @exclusivity(unchecked) private var commandSearch: BoundarySearch?
  @exclusivity(unchecked) private var replySearch: BoundarySearch?
  @exclusivity(unchecked) var replyFirstByte: UInt64 = 0
  @exclusivity(unchecked) private var skippedBytes: UInt64 = 0

  /// What CLIENT REPLY has set.
  enum ReplyMode {
    case on
    case off
    /// The next command is not answered.
    case skip
  }

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
      commandSearch = BoundarySearch()
      replySearch = BoundarySearch()
    }
    super.init()
    context.add(self)
    noteMode()
  }

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
    if !isVouched { endSilence(at: data.time, into: &output) }
    lastTime = max(lastTime, data.time)
    wasReplyLast = data.direction != requestDirection
    if !wasReplyLast {
      receiveCommands(bytes, data, into: &output)
    } else if let replication {
      receive(bytes, data, of: replication, into: &output)
    } else {
      receiveReplies(bytes, data, into: &output)
    }
    account(into: &output)
    noteMode()
  }

  /// Looks at everything that can be special about the connection. Called whenever some of it may have changed, so that the
  /// usual case has two bytes to look at.
  private func noteMode() {
    areCommandsPlain =
      replication == nil && isVouched && !state.isChanged && replyMode == .on && waiting.isEmpty && commandSearch == nil
      && commands.isAtBoundary
    areRepliesPlain =
      replication == nil && !wasUnvouched && !state.isChanged && !isMonitoring && !subscriptions.isActive
      && !subscriptions.areSilent
      && replySearch == nil && replies.isAtBoundary && transaction == nil
  }

  /// Takes the whole commands that the bytes begin with; returns how many bytes they are.
  @inline(__always)
  private func takeWholeCommands(
    _ bytes: UnsafeRawBufferPointer, _ data: DataFrame, into output: inout Output
  ) -> Int {
    var position = 0
    while position < bytes.count {
      if areCommandsPlain {
        takePlainCommands(bytes, &position, data)
        if position == bytes.count { break }
      }
      guard isWholeCommandTaken(bytes, &position, data, into: &output) else { break }
    }
    return position
  }

  @inline(never)
  private func isWholeCommandTaken(
    _ bytes: UnsafeRawBufferPointer, _ position: inout Int, _ data: DataFrame, into output: inout Output
  ) -> Bool {
    let start = position
    guard bytes[start] == UInt8(ascii: "*"), commands.takeWhole(bytes, &position) else { return false }
    commandsProved = true
    noteShape(bytes, start)
    finishCommand(data, extraFlags: [], into: &output)
    noteMode()
    return true
  }

  /// Parses, and looks for a boundary wherever that fails, up to the end of the bytes.
  private func receiveCommands(_ bytes: UnsafeRawBufferPointer, _ data: DataFrame, into output: inout Output) {
    var rest = bytes
    while true {
      if commandSearch != nil {
        guard let found = commandSearch?.add(rest, areCommands: true) else { return }
        endCommandSearch()
        switch consume found {
        case .inPlace(let start): rest = UnsafeRawBufferPointer(rebasing: rest[start...])
        // Once for each frame: what is looked for in there begins with nothing kept.
        case .joined(let bytes): return receiveCommands(bytes.bytes, data, into: &output)
        }
      }
      if commands.isAtBoundary {
        rest = UnsafeRawBufferPointer(rebasing: rest[takeWholeCommands(rest, data, into: &output)...])
        if rest.isEmpty { return }
      }
      guard let end = parseCommands(rest, data, into: &output) else { return }
      rest = UnsafeRawBufferPointer(rebasing: rest[end...])
    }
  }

  /// Parses to the end of the bytes; returns where they are no commands any more.
  @inline(__always)
  private func parseCommands(
    _ bytes: UnsafeRawBufferPointer, _ data: DataFrame, into output: inout Output
  ) -> Int? {
    var position = 0
    do throws(Malformed) {
      while case .command = try commands.next(bytes, &position) {
        commandsProved = true
        finishCommand(data, extraFlags: [], into: &output)
      }
      return nil
    } catch {
      // redis-server answers it with an error, and closes the connection.
      if commands.endIncomplete() { finishCommand(data, extraFlags: .malformed, into: &output) }
      loseStepInCommands(into: &output)
      commandSearch = BoundarySearch()
      return position
    }
  }

  private func receiveReplies(_ bytes: UnsafeRawBufferPointer, _ data: DataFrame, into output: inout Output) {
    var rest = bytes
    while true {
      if replySearch != nil {
        guard let found = replySearch?.add(rest, areCommands: false) else { return }
        endReplySearch()
        switch consume found {
        case .inPlace(let start): rest = UnsafeRawBufferPointer(rebasing: rest[start...])
        case .joined(let bytes): return receiveReplies(bytes.bytes, data, into: &output)
        }
      }
      guard let end = parseReplies(rest, data, into: &output) else { return }
      rest = UnsafeRawBufferPointer(rebasing: rest[end...])
    }
  }

  @inline(__always)
  private func parseReplies(
    _ bytes: UnsafeRawBufferPointer, _ data: DataFrame, into output: inout Output
  ) -> Int? {
    var position = 0
    if replies.isAtBoundary { replyFirstByte = data.time }
    do throws(Malformed) {
      while true {
        if pending.hasSlow { awaitSnapshot(bytes, &position) }
        if transaction != nil { awaitElements() }
        if let replication {
          receive(UnsafeRawBufferPointer(rebasing: bytes[position...]), data, of: replication, into: &output)
          return nil
        }
        guard case .message(let kind) = try replies.next(bytes, &position) else { return nil }
        repliesProved = true
        if transaction != nil, kind == .push, isElementOfTransaction() {
          if replies.adoptPush() { finishMessage(.reply, data, extraFlags: [], into: &output) }
          continue
        }
        finishMessage(kind, data, extraFlags: [], into: &output)
        replyFirstByte = data.time
      }
    } catch {
      loseStepInReplies(into: &output)
      replySearch = BoundarySearch()
      return position
    }
  }

  // MARK: Losses

  package override func update(_ flow: FlowFrame) {
    guard flow.isInterleaved, !isInterleaved else { return }
    isInterleaved = true
    doubtPairs()
    noteMode()
  }

  package override func lose(_ gap: GapFrame, into output: inout Output) {
    if !isVouched { endSilence(at: gap.time, into: &output) }
    lastTime = max(lastTime, gap.time)
    wasReplyLast = gap.direction != requestDirection
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
  }

  private func loseReplies(_ gap: GapFrame, _ nothing: DataFrame, into output: inout Output) {
    if replySearch != nil {
      endReplySearch()
      quietPoints.loseReplies(hasSlow: pending.hasSlow)
    } else {
      if replies.skip(gap.length) { return receiveReplies(nothing.bytes, nothing, into: &output) }
      if replies.endIncomplete() { finishMessage(replies.kind, nothing, extraFlags: .gap, into: &output) }
      loseStepInReplies(into: &output)
    }
    replySearch = BoundarySearch()
  }

  private func loseCommands(_ gap: GapFrame, _ nothing: DataFrame, into output: inout Output) {
    if commandSearch != nil {
      endCommandSearch()
      loseCertaintyOfCommands()
    } else {
      if commands.skip(gap.length) { return receiveCommands(nothing.bytes, nothing, into: &output) }
      if commands.endIncomplete() { finishCommand(nothing, extraFlags: .gap, into: &output) }
      loseStepInCommands(into: &output)
    }
    commandSearch = BoundarySearch()
  }

  /// Commands are missing, nobody knows how many: those that are pending keep their place, later ones have none.
  private func loseStepInCommands(into output: inout Output) {
    commands.startOver()
    commands.writer.dropMessage()
    commandsProved = false
    loseCertaintyOfCommands()
    forgetState(into: &output)
    // Replies may have been switched off or on where nobody saw it.
    replyMode = .on
    isQueueing = false
    queuedReplyMode = nil
    releaseTransaction(extraFlags: .unvouched, into: &output)
    waiting.visit { reply, bytes in
      emit(reply, bytes, extraFlags: .unvouched, into: &output)
    }
    waiting.removeAll()
  }

  /// Replies are missing: no pending command knows its reply any more.
  private func loseStepInReplies(into output: inout Output) {
    replies.startOver()
    repliesProved = false
    doubtPairs()
    releaseTransaction(extraFlags: .unvouched, into: &output)
    subscriptions.forgetConfirmations()
  }

  private func endCommandSearch() {
    let skipped = commandSearch?.skippedBytes ?? 0
    if skipped > 0 { quietPoints.skipCommand() }
    skippedBytes += skipped
    commandSearch = nil
  }

  func endReplySearch() {
    let skipped = replySearch?.skippedBytes ?? 0
    if skipped > 0 { quietPoints.skipReply() }
    skippedBytes += skipped
    replySearch = nil
  }

  private func endSilence(at time: UInt64, into output: inout Output) {
    guard !isInterleaved, time >= lastTime, time - lastTime >= RESPLimits.quietNanoseconds else { return }
    let isQuiet =
      wasReplyLast && commandSearch == nil && replySearch == nil && commandsProved && repliesProved
      && commands.isAtBoundary && replies.isAtBoundary && !pending.hasSlow
    if isQuiet { endQuietPoint(into: &output) }
  }

  // MARK: The end

  package override func close(at time: UInt64?, into output: inout Output) {
    finishAll(into: &output)
    context.noteSkipped(skippedBytes + (replication?.skippedBytes ?? 0))
    context.remove(self)
  }

  private func finishAll(into output: inout Output) {
    endCommandSearch()
    endReplySearch()
    let end = DataFrame(
      flow: id, direction: .sent, time: lastTime, offset: 0, bytes: UnsafeRawBufferPointer(start: nil, count: 0))
    if commands.endIncomplete() { finishCommand(end, extraFlags: .incomplete, into: &output) }
    if let replication {
      finish(replication, end, into: &output)
    } else if replies.endIncomplete() {
      finishMessage(replies.kind, end, extraFlags: .incomplete, into: &output)
    }
    releaseTransaction(extraFlags: [], into: &output)
    flushPending(into: &output)
    waiting.visit { reply, bytes in emit(reply, bytes, extraFlags: [], into: &output) }
    waiting.removeAll()
  }

  func flushPending(into output: inout Output) {
    giveUpPending(toCount: 0, into: &output)
  }

  // MARK: Memory

  private static let unaccountedBytes: UInt = 256

  /// Tells the stage how much is held.
  private func account(into output: inout Output) {
    noteOtherHeldBytes()
    accountCommands(into: &output)
  }

  private func noteOtherHeldBytes() {
    otherHeldBytes =
      replies.heldBytes + waiting.heldBytes + subscriptions.heldBytes + (commandSearch?.heldBytes ?? 0)
      + (replySearch?.heldBytes ?? 0) + (replication?.commands.writer.bytes.count ?? 0) + (transaction?.heldBytes ?? 0)
  }

  private var allHeldBytes: Int { commands.writer.bytes.count &+ pending.heldBytes &+ otherHeldBytes }

  @inline(__always)
  private func accountCommands(into output: inout Output) {
    let change = allHeldBytes &- heldBytes
    // Less than the buffers take when they are empty is not worth telling twice for each small exchange.
    if change.magnitude > RedisFlow.unaccountedBytes {
      heldBytes = heldBytes &+ change
      context.noteChange(by: change, into: &output)
    }
  }

  /// Cuts values of what is held to `target` bytes, as far as values are what takes the room.
  func cutHeldValues(toBytes target: Int) {
    cutPendingValues(toBytes: target)
    if commands.writer.messageBytes > target { commands.makeRoom(leavingBytes: target) }
    if replies.writer.messageBytes > target { replies.makeRoom(leavingBytes: target) }
    if let transaction, transaction.maps.count > target { transaction.makeRoom(leavingBytes: target) }
    if let replication, replication.commands.writer.messageBytes > target {
      replication.commands.makeRoom(leavingBytes: target)
    }
    shrinkBuffers()
    noteOtherHeldBytes()
    heldBytes = allHeldBytes
  }

  /// Gives up the requests that wait longest, and where that is not enough all replies and commands that wait, until
  /// `target` bytes are held or nothing waits.
  func giveUpWaiting(toBytes target: Int, into output: inout Output) {
    if !pending.isEmpty {
      doubtPairs()
      var left = pending.count
      // Requests are of one size, more or less: half of them is half of the room.
      while allHeldBytes > target, left > 0 {
        left /= 2
        giveUpPending(toCount: left, into: &output)
      }
    }
    if allHeldBytes > target {
      waiting.visit { reply, bytes in emit(reply, bytes, extraFlags: .unvouched, into: &output) }
      waiting.removeAll()
      releaseTransaction(extraFlags: .unvouched, into: &output)
      commandSearch?.dropKept()
      replySearch?.dropKept()
    }
    shrinkBuffers()
    noteOtherHeldBytes()
    heldBytes = allHeldBytes
    noteMode()
  }

  /// Gives back what buffers keep beyond their share and do not use.
  func shrinkBuffers() {
    pending.shrink()
    commands.writer.bytes.shrink(toCapacityBytes: max(context.keptBytes, commands.writer.bytes.count))
    replies.writer.bytes.shrink(toCapacityBytes: max(context.keptBytes, replies.writer.bytes.count))
  }
}
