// Whether a flow is Redis: only on evidence that no other protocol gives.
import TapWire

package enum RedisEvidence {
  /// Judges the first bytes of a flow, by both directions where one is not enough.
  package static func judge(_ evidence: FlowEvidence) -> Verdict {
    let (sent, received) = (evidence.sent, evidence.received)
    let judge = evidence.isFromBeginning ? judgeBeginning : judgeJoined
    switch evidence.role {
    case .client: return judge(sent, received, evidence.isFinal)
    case .server: return judge(received, sent, evidence.isFinal)
    case .unknown where !evidence.isFromBeginning:
      guard let direction = joinedRequestDirection(evidence) else {
        return isForeign(sent) || isForeign(received) ? .reject : .undecided
      }
      return direction == .sent
        ? judgeJoined(sent, received, isFinal: evidence.isFinal)
        : judgeJoined(received, sent, isFinal: evidence.isFinal)
    case .unknown:
      let asClient = judgeBeginning(sent, received, isFinal: evidence.isFinal)
      let asServer = judgeBeginning(received, sent, isFinal: evidence.isFinal)
      if asClient == .claim || asServer == .claim { return .claim }
      return asClient == .reject && asServer == .reject ? .reject : .undecided
    }
  }

  /// An inline command that people send, and its reply.
  static func holdsInline(requests: UnsafeRawBufferPointer, replies: UnsafeRawBufferPointer) -> Bool {
    guard let line = firstLine(requests), isKnownInline(line) else { return false }
    return holdsAnyReply(replies, to: line)
  }

  static func judgeBeginning(
    _ requests: UnsafeRawBufferPointer, _ replies: UnsafeRawBufferPointer, isFinal: Bool
  ) -> Verdict {
    if holdsCommand(requests, isFirstEnough: true) { return .claim }
    // A master that makes its snapshot keeps the connection of a replica alive by line feeds.
    let replies = UnsafeRawBufferPointer(rebasing: replies.drop { $0 == 0x0a })
    if let first = replies.first, !isReplyType(first) { return .reject }
    // A server that refuses a connection speaks first.
    if startsWith(replies, "-DENIED Redis is running in protected mode") { return .claim }
    if startsWith(replies, "-ERR max number of clients reached") { return .claim }
    // The cluster bus (cluster.h): "RCmb", a length and a version, in both directions.
    if startsWith(requests, "RCmb") { return .reject }
    let requests = behindEmptyCommands(requests)
    if holdsCommand(requests, isFirstEnough: true) { return .claim }
    guard let first = requests.first else { return isFinal && isServersAlone(replies) ? .claim : .undecided }
    if first == UInt8(ascii: "*") {
      // What breaks the protocol behind a command's name, or is answered as nobody else does, is still Redis.
      if beginsCommand(requests) || startsWith(replies, "-ERR Protocol error: ") { return .claim }
      return Boundary.commands(requests, at: 0) == .fails && !replies.isEmpty ? .reject : .undecided
    }
    // What redis-server takes for an inline command is a line of anything, and only its answer tells.
    guard (0x20...0x7e).contains(first) else { return .reject }
    guard let line = firstLine(requests) else { return .undecided }
    guard isKnownInline(line) else { return judge(refusal: replies, of: line) }
    if holdsAnyReply(replies, to: line) { return .claim }
    // POP3 has AUTH as well, with the same answer: the command behind it tells.
    let next = behindFirstLine(requests)
    if beginsCommand(next) { return .claim }
    let isAnswerLine = replies.first.map { $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "-") } ?? true
    guard name(of: line) == "AUTH", !next.isEmpty, isAnswerLine else { return .undecided }
    return judgeBeginning(next, behindFirstLine(replies), isFinal: isFinal)
  }

  /// The bytes behind empty lines and arrays without elements, which redis-server skips.
  private static func behindEmptyCommands(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    var rest = bytes
    while true {
      rest = UnsafeRawBufferPointer(rebasing: rest.drop { $0 == 0x0d || $0 == 0x0a })
      var position = 1
      var number = NumberLine()
      guard rest.first == UInt8(ascii: "*"), let count = (try? number.read(rest, &position)).flatMap({ $0 }), count <= 0
      else { return rest }
      rest = UnsafeRawBufferPointer(rebasing: rest[position...])
    }
  }

  /// `*N\r\n$L\r\n` and something behind it that fits: no other protocol begins like this. At the beginning of a connection
  /// the first is enough, since how much stands behind it depends on the segments.
  static func holdsCommand(_ bytes: UnsafeRawBufferPointer, isFirstEnough: Bool = false) -> Bool {
    guard bytes.first == UInt8(ascii: "*") else { return false }
    switch Boundary.commands(bytes, at: 0, isFirstEnough: isFirstEnough) {
    case .holds: return true
    case .fails: return false
    // The first argument is coming.
    case .needsMore: return beginsCommand(bytes)
    }
  }

  /// `*N\r\n$L\r\n` and a name that has begun.
  private static func beginsCommand(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard let heads = commandHeads(bytes) else { return false }
    return heads.nameStart < bytes.count && isLetter(bytes[heads.nameStart])
  }

  /// Where a command's name begins, behind `*N\r\n$L\r\n`, and L; nil where that is not there, or no command.
  static func commandHeads(_ bytes: UnsafeRawBufferPointer) -> (nameStart: Int, nameBytes: Int)? {
    var position = 1
    var number = NumberLine()
    guard bytes.first == UInt8(ascii: "*"), let count = (try? number.read(bytes, &position)).flatMap({ $0 }), count > 0,
      position < bytes.count, bytes[position] == UInt8(ascii: "$")
    else { return nil }
    position += 1
    number = NumberLine()
    guard let length = (try? number.read(bytes, &position)).flatMap({ $0 }), length > 0 else { return nil }
    return (position, Int(clamping: length))
  }

  /// Several elements that end where they say, at least one of them of counted length.
  static func holdsReplies(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard let first = bytes.first, first == UInt8(ascii: "$") || first == UInt8(ascii: "*") else { return false }
    return Boundary.replies(bytes, at: 0) == .holds
  }

  /// A reply whose form no line protocol shares, or a short one that fits a command which only Redis has.
  private static func holdsAnyReply(_ replies: UnsafeRawBufferPointer, to line: String) -> Bool {
    // No CRLF follows the snapshot that answers SYNC.
    if name(of: line) == "SYNC", let snapshot = firstLine(replies)?.dropFirst(), startsWith(replies, "$") {
      return snapshot.allSatisfy(\.isNumber) || snapshot.starts(with: "EOF:")
    }
    // The first alone: how much stands behind it depends on the segments.
    guard let first = replies.first, Boundary.replies(replies, at: 0, isFirstEnough: true) == .holds else {
      return false
    }
    if first == UInt8(ascii: "+") || first == UInt8(ascii: "-") {
      // NATS has PING too, and +OK in front of its PONG.
      if name(of: line) == "PING", startsWith(replies, "+OK\r\n") { return false }
      // POP3 has these commands too, and answers with +OK and -ERR; but its server speaks first, and with a text.
      guard ["QUIT", "AUTH"].contains(name(of: line)) else { return true }
      return startsWith(replies, "+OK\r\n") || startsWith(replies, "-WRONGPASS ") || startsWith(replies, "-NOAUTH ")
    }
    return isReplyType(first)
  }

  /// `-ERR unknown command 'FOO'` repeats the word that nobody knows; some versions write `FOO` in backticks.
  private static func judge(refusal reply: UnsafeRawBufferPointer, of line: String) -> Verdict {
    let word = line.prefix { $0 != " " }.prefix(longestRefusedWord)
    guard !word.isEmpty, word.count < longestRefusedWord, !line.contains(" HTTP/") else { return .reject }
    for quote in ["'", "`"] {
      let refusal = "-ERR unknown command \(quote)\(word)\(quote)"
      if reply.starts(with: refusal.utf8) { return .claim }
      if refusal.utf8.starts(with: reply) { return .undecided }
    }
    return .reject
  }

  /// redis-server repeats no more of a word.
  private static let longestRefusedWord = 128

  /// Whether a line begins with a command that redis-server has.
  private static func isKnownInline(_ line: String) -> Bool {
    // `GET /path HTTP/1.1` is known to another protocol.
    CommandTable.shared.knows(CommandName(name(of: line))) && !line.contains(" HTTP/")
  }

  private static func name(of line: String) -> String {
    let word = line.drop { $0 == " " || $0 == "\"" || $0 == "'" }.prefix { $0.isLetter || $0 == "_" }
    return word.uppercased()
  }

  static func firstLine(_ bytes: UnsafeRawBufferPointer) -> String? {
    guard let end = bytes.firstIndex(of: 0x0a) else { return nil }
    return String(decoding: bytes[..<end].filter { $0 != 0x0d }, as: UTF8.self)
  }

  private static func behindFirstLine(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: bytes.drop { $0 != 0x0a }.dropFirst())
  }

  /// Whether `test` holds for what begins at the start or behind a line's end.
  static func anyLine(
    _ bytes: UnsafeRawBufferPointer, where test: (UnsafeRawBufferPointer) -> Bool
  ) -> Bool {
    if test(bytes) { return true }
    for index in bytes.indices where bytes[index] == 0x0a {
      if test(UnsafeRawBufferPointer(rebasing: bytes[(index + 1)...])) { return true }
    }
    return false
  }

  static func isReplyType(_ byte: UInt8) -> Bool { "+-:$*_#,(!=%~>|".utf8.contains(byte) }

  private static func isLetter(_ byte: UInt8) -> Bool { (0x41...0x5a).contains(byte & 0xdf) }

  static func startsWith(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
    bytes.count >= text.utf8CodeUnitCount
      && bytes.starts(with: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }
}
