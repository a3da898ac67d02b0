// Which direction of a flow holds the requests, where nobody knows which side of it the process is.
import TapWire

extension RedisEvidence {
  /// Which direction of a claimed flow holds the requests.
  static func requestDirection(_ evidence: FlowEvidence) -> Direction {
    switch evidence.role {
    case .client: return .sent
    case .server: return .received
    case .unknown:
      guard evidence.isFromBeginning else { return joinedRequestDirection(evidence) ?? .sent }
      return judgeBeginning(evidence.sent, evidence.received, isFinal: evidence.isFinal) == .claim ? .sent : .received
    }
  }

  /// The same for a flow that was joined in its middle; nil while nothing tells.
  ///
  /// An array of strings is a command, and a reply as well. What tells them apart is the name of a command that redis-server
  /// has, or that the other direction holds what only a server writes.
  static func joinedRequestDirection(_ evidence: FlowEvidence) -> Direction? {
    let (sent, received) = (evidence.sent, evidence.received)
    let sentNames = anyLine(sent, where: namesCommand)
    if sentNames != anyLine(received, where: namesCommand) { return sentNames ? .sent : .received }
    let sentAnswers = anyLine(sent, where: isAnswer)
    if sentAnswers != anyLine(received, where: isAnswer) {
      return anyLine(sentAnswers ? received : sent, where: { holdsCommand($0) })
        ? (sentAnswers ? .received : .sent) : nil
    }
    let sentInline = holdsInline(requests: sent, replies: received)
    guard sentInline != holdsInline(requests: received, replies: sent) else { return nil }
    return sentInline ? .sent : .received
  }

  /// A command whose name redis-server has.
  static func namesCommand(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard holdsCommand(bytes), let heads = commandHeads(bytes) else { return false }
    let name = bytes[heads.nameStart...].prefix(heads.nameBytes)
    guard name.count == heads.nameBytes else { return false }
    return CommandTable.shared.traits(of: CommandName(String(decoding: name, as: UTF8.self).uppercased())).commandClass
      != .unknown
  }

  /// A simple string, an error, a number: what no client sends in front of a line.
  private static func isAnswer(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard let first = bytes.first, "+-:_,#(".utf8.contains(first) else { return false }
    return Boundary.replies(bytes, at: 0, isFirstEnough: true) == .holds
  }
}
