// What an exchange says about itself. docs/redis.md explains each word.
import TapWire

struct ExchangeFlags: OptionSet {
  let rawValue: UInt16

  /// A value was too large, and only its beginning is there.
  static let cut = ExchangeFlags(rawValue: 1 << 0)
  /// Bytes of it were lost.
  static let gap = ExchangeFlags(rawValue: 1 << 1)
  /// The connection or the capture ended inside of it.
  static let incomplete = ExchangeFlags(rawValue: 1 << 2)
  /// Request and response may not belong together.
  static let unvouched = ExchangeFlags(rawValue: 1 << 3)
  /// No reply was seen.
  static let unanswered = ExchangeFlags(rawValue: 1 << 4)
  /// No request was seen.
  static let unrequested = ExchangeFlags(rawValue: 1 << 5)
  /// The reply was recorded before its request: the latency is shown as 0.
  static let clamped = ExchangeFlags(rawValue: 1 << 6)
  /// The command may wait on purpose.
  static let blocking = ExchangeFlags(rawValue: 1 << 7)
  /// A message that the server sent on its own: pub/sub, invalidation.
  static let push = ExchangeFlags(rawValue: 1 << 8)
  /// A line of MONITOR.
  static let monitor = ExchangeFlags(rawValue: 1 << 9)
  /// Nothing answers the command: the client had switched replies off, or it is a replica.
  static let noReply = ExchangeFlags(rawValue: 1 << 10)
  /// The command breaks the protocol, and only its beginning is there.
  static let malformed = ExchangeFlags(rawValue: 1 << 11)
  /// It belongs to a replication stream: the snapshot, a command that a master passes on, what a replica says.
  static let replication = ExchangeFlags(rawValue: 1 << 12)
  /// It was queued in a transaction: its reply is a part of EXEC's, and its latency includes the wait for EXEC.
  static let queued = ExchangeFlags(rawValue: 1 << 13)
  /// Parts of it are replaced by what a user wants hidden.
  static let redacted = ExchangeFlags(rawValue: 1 << 14)

  private static let words: [(ExchangeFlags, StaticString)] = [
    (.cut, "cut"), (.gap, "gap"), (.incomplete, "incomplete"), (.unvouched, "unvouched"), (.unanswered, "unanswered"),
    (.unrequested, "unrequested"), (.clamped, "clamped"), (.blocking, "blocking"), (.push, "push"),
    (.monitor, "monitor"), (.noReply, "no_reply"), (.malformed, "malformed"),
    (.replication, "replication"),
    (.queued, "queued"), (.redacted, "redacted"),
  ]

  /// Writes the array of words.
  func append(to output: inout ByteBuffer) {
    output.appendArrayHead(rawValue.nonzeroBitCount)
    for (flag, word) in ExchangeFlags.words where contains(flag) { output.appendText(word) }
  }
}
