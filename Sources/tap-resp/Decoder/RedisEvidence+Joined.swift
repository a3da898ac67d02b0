// Whether a flow is Redis that was joined in its middle, or of which only one direction is seen: its bytes may as well be
// somebody's file on its way through another protocol, so both directions must agree.
import TapWire

extension RedisEvidence {
  /// A boundary at the first byte of each direction, or somewhere behind it: joined in the middle of a value, it is at a line's end.
  static func judgeJoined(
    _ requests: UnsafeRawBufferPointer, _ replies: UnsafeRawBufferPointer, isFinal: Bool
  ) -> Verdict {
    if isForeign(requests) || isForeign(replies) { return .reject }
    let asks = anyLine(requests, where: { holdsCommand($0) })
    if asks, beginsReply(replies) || anyLine(replies, where: holdsAnswer) { return .claim }
    // A subscriber may have nothing to say for hours.
    if holdsMessage(replies) || holdsInline(requests: requests, replies: replies) { return .claim }
    guard isFinal else { return .undecided }
    if replies.isEmpty, namesCommand(requests) { return .claim }
    return requests.isEmpty && isServersAlone(replies) ? .claim : .undecided
  }

  /// What begins like a protocol that may carry RESP as a part of something else: HTTP, and Redis' own cluster bus.
  static func isForeign(_ bytes: UnsafeRawBufferPointer) -> Bool {
    startsWith(bytes, "HTTP/") || startsWith(bytes, "RCmb") || firstLine(bytes)?.contains(" HTTP/") == true
  }

  /// Replies of a server whose client is not seen: all of them fit, and one at least is no line of text, which POP3 has too.
  static func isServersAlone(_ replies: UnsafeRawBufferPointer) -> Bool {
    Boundary.replies(replies, at: 0) == .holds
      && anyLine(replies, where: { holdsReplies($0) || $0.first == UInt8(ascii: ":") && holdsAnswer($0) })
  }

  /// A reply at the first byte, which may still be coming.
  private static func beginsReply(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard let first = bytes.first, isReplyType(first) else { return false }
    return Boundary.replies(bytes, at: 0, isFirstEnough: true) != .fails
  }

  private static func holdsAnswer(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard let first = bytes.first, isReplyType(first) else { return false }
    return Boundary.replies(bytes, at: 0, isFirstEnough: true) == .holds
  }

  /// A message of pub/sub at the first byte.
  private static func holdsMessage(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard startsWith(bytes, "*") || startsWith(bytes, ">") else { return false }
    let behind = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
    let beginnings: [StaticString] = [
      "3\r\n$7\r\nmessage\r\n", "3\r\n$8\r\nsmessage\r\n", "4\r\n$8\r\npmessage\r\n",
    ]
    return beginnings.contains { startsWith(behind, $0) }
  }
}
