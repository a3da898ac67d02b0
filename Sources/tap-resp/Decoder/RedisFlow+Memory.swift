// What the connection holds, told to the stage, and given up where all connections together hold too much.
import TapWire

extension RedisFlow {
  private static let unaccountedBytes: UInt = 256

  /// Reads what the server says. It belongs to the connection while a message is coming: one that waits needs none.
  var replies: ReplyParser {
    @inline(__always) _read { yield borrowReplies().pointee }
    @inline(__always) _modify { yield &borrowReplies().pointee }
  }

  @inline(__always)
  private func borrowReplies() -> UnsafeMutablePointer<ReplyParser> {
    if let borrowedReplies { return borrowedReplies }
    let borrowed = context.lendReplies()
    borrowedReplies = borrowed
    return borrowed
  }

  /// Whether the parser of replies stands between two messages.
  var areRepliesAtBoundary: Bool { borrowedReplies?.pointee.isAtBoundary ?? true }

  /// Nothing more is to be read now: between two messages the parser knows nothing that counts.
  func returnReplies() {
    guard let borrowedReplies, borrowedReplies.pointee.isAtBoundary else { return }
    context.takeBack(borrowedReplies)
    self.borrowedReplies = nil
  }

  /// Tells the stage how much is held.
  func account(into output: inout Output) {
    noteOtherHeldBytes()
    accountCommands(into: &output)
  }

  private func noteOtherHeldBytes() {
    otherHeldBytes =
      (borrowedReplies?.pointee.heldBytes ?? 0) + waiting.heldBytes + subscriptions.heldBytes
      + (commandSearch?.heldBytes ?? 0)
      + (replySearch?.heldBytes ?? 0) + (replication?.commands.writer.bytes.count ?? 0) + (transaction?.heldBytes ?? 0)
  }

  private var allHeldBytes: Int { commands.writer.bytes.count &+ pending.heldBytes &+ otherHeldBytes }

  @inline(__always)
  func accountCommands(into output: inout Output) {
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
    if let borrowedReplies, borrowedReplies.pointee.writer.messageBytes > target {
      borrowedReplies.pointee.makeRoom(leavingBytes: target)
    }
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
      emitWaiting(extraFlags: .unvouched, into: &output)
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
  }
}
