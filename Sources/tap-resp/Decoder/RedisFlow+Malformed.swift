// Commands that break the protocol: redis-server answers with an error, reads nothing more, and closes the connection.
import TapWire

extension RedisFlow {
  /// The command that is coming breaks the protocol: it waits for its error like any other command for its reply.
  func endMalformed(_ data: DataFrame, into output: inout Output) {
    endOpenCommand(data, extraFlags: .malformed, into: &output)
    loseStepInCommands(into: &output)
    commandSearch = BoundarySearch(for: .commands)
  }

  /// Whether a reply refuses the command that is still coming: what a server takes for a length (proto-max-bulk-len, less
  /// before a client has said its password) or for a line is its own matter, and its answer tells.
  func isRefusal(_ reply: WaitingReply, _ response: UnsafeRawBufferPointer) -> Bool {
    guard reply.isError, pending.isEmpty, commandSearch == nil, !commands.isAtBoundary, replication == nil,
      var value = Subscriptions.value(of: response, type: "error"), let text = try? value.readString()
    else { return false }
    return text.starts(with: "ERR Protocol error".utf8)
  }

  /// The server has refused the command that is coming.
  func endRefused(into output: inout Output) {
    let nothing = DataFrame(
      flow: id, direction: requestDirection, time: openCommandTime, offset: 0,
      bytes: UnsafeRawBufferPointer(start: nil, count: 0))
    endMalformed(nothing, into: &output)
  }
}
