// What a decoder spends at most, whatever the peers send.

/// Limits of the decoder. What goes beyond is cut and marked, never lost silently, and decoding goes on right behind it.
package enum RESPLimits {
  /// Values of one exchange, request and response together. Beyond it the largest are cut.
  package static let exchangeBytes = 8 << 20
  /// What all flows of the stage hold together, requests without a reply included. Beyond it the largest values are cut, and
  /// where that is not enough requests are given up.
  package static let stageBytes = 32 << 20
  /// Flows that are decoded at once. Beyond it those are forgotten that have been silent for longest.
  package static let flows = (1 << 14) - 1
  /// What a flow takes while it waits, as measured, which is a part of what all flows hold.
  static let flowBytes = 1200
  /// What the empty buffers of all flows keep together, and each of them at least and at most.
  static let keptBytes = 8 << 20
  static let smallestKeptBytes = 256
  static let largestKeptBytes = 1 << 20
  /// A value is not cut below this; where that does not suffice, aggregates are cut.
  package static let smallestCutBytes = 64
  /// Levels of nested aggregates. redis-server nests 2 or 3 levels; hiredis reads 9.
  package static let depth = 128
  /// A line: an inline command, a simple string, an error, a big number. redis-server's own limit for a request line.
  package static let lineBytes = 64 << 10
  /// Requests of one flow that wait for a reply: a little over 10 MiB beside their values.
  package static let pendingRequests = (1 << 18) - 1
  /// Commands of one transaction that wait for EXEC.
  static let queuedCommands = 1 << 16
  /// Replies of one flow that wait for their request.
  package static let waitingReplies = 4096
  /// Bytes in which a boundary is looked for behind a loss.
  package static let searchBytes = 64 << 10
  /// A command has at most so many arguments (redis-server: 1024 * 1024 by default, up to INT_MAX).
  package static let arguments: Int64 = 0x7fff_ffff
  /// Keys that are shown of a command, and what is shown of each.
  static let keys = 128
  static let keyBytes = 1024
  /// Silence of the whole flow that makes a quiet point.
  package static let quietNanoseconds: UInt64 = 100_000_000
}
