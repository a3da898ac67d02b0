// When pairs are certain again: what must be true of a silence before order alone is believed.

/// What a flow has shown since certainty was lost.
///
/// A silence alone proves little: a command that was lost may wait in the server, and its reply then comes behind a
/// command that was seen. But between two silences as many replies come as commands, more those that wait at the first,
/// less those that wait at the second. So where commands may be missing, a silence is believed only if commands and
/// replies have balanced since the one before it. And no silence is believed behind a command that takes its time: what
/// answered it may have been something else.
struct QuietPoints {
  /// Commands may be missing, from a join in the middle or a gap in the requests, and wait in the server unseen.
  private var mayHideCommands: Bool
  /// Replies are missing: what is pending may have been answered.
  private var hasLostReplies = false
  /// No silence has come since the join: it counts as one, as most connections are idle most of the time.
  private var isJoining: Bool
  /// Since the last silence: commands that are to be answered, replies, and whether none of either can be missing.
  private var commands = 0
  private var replies = 0
  private var isWhole = true
  /// Whether one of the commands, or one pending at a loss or at a silence, may wait on purpose or run for long.
  private var hasSlow = false

  init(isJoined: Bool) {
    mayHideCommands = isJoined
    isJoining = isJoined
  }

  mutating func noteCommand(isSlow: Bool) {
    commands &+= 1
    if isSlow { hasSlow = true }
  }

  mutating func noteReply() { replies &+= 1 }

  /// The bytes before the first command that was found are the rest of one: else it would have been found before.
  mutating func skipCommand() {
    if isJoining { commands &+= 1 } else { loseCommands(hasSlow: false) }
  }

  /// The bytes before the first reply that was found are the rest of one.
  mutating func skipReply() {
    if isJoining { replies &+= 1 } else { loseReplies(hasSlow: false) }
  }

  /// Replies are missing; the commands that they answer are known. `hasSlow`: one that is pending takes its time.
  mutating func loseReplies(hasSlow: Bool) {
    hasLostReplies = true
    isWhole = false
    if hasSlow { self.hasSlow = true }
  }

  /// Commands are missing, or what was believed turned out to be wrong.
  mutating func loseCommands(hasSlow: Bool) {
    mayHideCommands = true
    isWhole = false
    if hasSlow { self.hasSlow = true }
  }

  /// A silence ends: returns whether it makes pairs certain. `isQuiet`: both directions stood at a boundary, a reply was
  /// last, and no pending command is slow. `hasPending`: commands have no reply so far.
  mutating func endSilence(isQuiet: Bool, hasPending: Bool) -> Bool {
    // What was under way at the join has its replies too.
    let isBalanced = isWhole && commands > 0 && (commands == replies || isJoining && commands < replies)
    let isBelievable = isQuiet && !hasSlow
    commands = 0
    replies = 0
    isWhole = true
    isJoining = false
    // Where a command came last, the slow one may still be waiting.
    if isQuiet { hasSlow = false }
    // Where every command and every reply was seen, a command without one is still being executed.
    guard isBelievable, isBalanced || !mayHideCommands && (hasLostReplies || !hasPending) else { return false }
    self = QuietPoints(isJoined: false)
    return true
  }
}
