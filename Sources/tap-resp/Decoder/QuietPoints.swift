// When pairs are certain again: what must be true of silences before order alone is believed.

/// What a flow has shown since certainty was lost.
///
/// A silence alone proves little: a command that was lost may wait in the server, and its reply then comes behind a
/// command that was seen. Between two silences as many replies come as commands, more those that wait at the first, less
/// those that wait at the second: a balance says that equally many wait, not that none does. So where commands may be
/// missing, `enough` silences in a row must balance, with replies that their commands can have, and with no command seen
/// that takes its time. Then unseen commands could only be waiting if each silence began with one of them held up in the
/// server, and each ended with its reply alone coming between the commands that were seen.
struct QuietPoints {
  /// Silences in a row that make pairs certain where commands may be missing.
  static let enough = 3

  /// What a silence says.
  enum Finding {
    case nothing
    /// What is pending will not be answered any more, if no lost command waits.
    case aligned
    case certain
  }

  /// Commands may be missing, from a join in the middle or a gap in the requests, and wait in the server unseen.
  private(set) var mayHideCommands: Bool
  /// Replies are missing: what is pending may have been answered.
  private var hasLostReplies = false
  /// No silence has come since the join: what was under way then has its replies, too.
  private var isJoining: Bool
  /// Silences in a row that balanced.
  private var balances = 0
  /// Where replies go on was found by looking for it: that may be inside of a value.
  private(set) var isBoundaryFound: Bool
  /// Since the last silence: commands that are to be answered, replies, whether none of either can be missing, and whether
  /// each reply was one that its command can have.
  private var commands = 0
  private var replies = 0
  private var isWhole = true
  private var isPossible = true

  /// Nothing shows that the client sends on before it has its reply, since certainty was lost.
  private(set) var mayTakeTurns = true
  private var isCommandLast = false

  /// The command that waited first at the last silences, by its number, those that waited behind it at the last one, at how
  /// many silences in a row, and the replies since.
  private var front: (number: Int, end: Int, silences: Int, replies: Int)?

  init(isJoined: Bool) {
    mayHideCommands = isJoined
    isJoining = isJoined
    isBoundaryFound = isJoined
  }

  mutating func noteCommand() {
    commands &+= 1
    if isCommandLast { mayTakeTurns = false }
    isCommandLast = true
  }

  mutating func noteReply() {
    isCommandLast = false
    replies &+= 1
    front?.replies &+= 1
  }

  /// A reply came that the first pending command cannot have.
  mutating func noteContradiction() { isPossible = false }

  /// The bytes before the first command that was found are the rest of one: else it would have been found before.
  mutating func skipCommand() {
    if isJoining { commands &+= 1 } else { loseCommands() }
  }

  /// The bytes before the first reply that was found are the rest of one.
  mutating func skipReply() {
    if isJoining { replies &+= 1 } else { loseReplies() }
  }

  /// Replies are missing; the commands that they answer are known.
  mutating func loseReplies() {
    hasLostReplies = true
    isWhole = false
    isCommandLast = false
  }

  /// The same, and where the next one begins is not known.
  mutating func loseBoundaryOfReplies() {
    loseReplies()
    isBoundaryFound = true
  }

  /// Commands are missing, or what was believed turned out to be wrong.
  mutating func loseCommands() {
    mayHideCommands = true
    isWhole = false
  }

  /// At a silence `count` commands wait, the first of which has this number; returns how many of them have lost their replies.
  /// Where the same one has waited first at `enough` silences in a row, and replies came that it could not have, those were
  /// not the replies of commands before it, however long one of those that wait may take.
  mutating func noteFront(_ number: Int, count: Int) -> Int {
    guard let last = front, last.number == number, last.replies > 0, count > 0 else {
      front = count > 0 ? (number, number + count, 1, 0) : nil
      return 0
    }
    front = (number, number + count, last.silences + 1, 0)
    guard last.silences + 1 >= QuietPoints.enough else { return 0 }
    front = nil
    return last.end - number
  }

  /// A quiet point ends: both directions stood at a boundary, a reply was last, and then there was silence. `hasPending`:
  /// commands have no reply so far; `hasSlow`: one of them may take its time, so that the silence says nothing of those from
  /// it on; `isInTransaction`: what was queued in doubt is still to be answered.
  mutating func end(hasPending: Bool, hasSlow: Bool, isInTransaction: Bool) -> Finding {
    if isWhole, commands == 0, replies == 0 { return .nothing }
    let hadLoss = !isWhole
    let isBalanced =
      isWhole && isPossible && commands > 0 && (commands == replies || isJoining && commands < replies)
    balances = isBalanced && !hasSlow ? balances + 1 : 0
    commands = 0
    replies = 0
    isWhole = true
    isPossible = true
    isJoining = false
    if mayHideCommands {
      guard balances >= QuietPoints.enough else { return isBalanced || hadLoss ? .aligned : .nothing }
    } else {
      // Where every command and every reply was seen, a command without one is still being executed.
      guard hasLostReplies || !hasPending else { return .nothing }
      if hasSlow { return .aligned }
      // The rest of a value would not fit.
      if isBoundaryFound { guard isBalanced, !hasPending else { return .aligned } }
    }
    if isInTransaction { return .aligned }
    self = QuietPoints(isJoined: false)
    return .certain
  }
}
