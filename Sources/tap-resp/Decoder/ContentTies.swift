// Replies that name their command by what they say: those of ECHO, and of PING with an argument.
import TapWire

/// The arguments that came back or are to come back as they are, since pairs became uncertain.
///
/// Such a reply tells which of the pending commands it answers, however many commands or replies are missing before.
struct ContentTies {
  private struct Tie {
    let hash: Int
    /// The number of the command among those that waited since the ties began.
    var command: Int
    /// The argument came before: nobody knows whose reply it is.
    var isRepeated = false
  }

  /// Few are enough: the first that were sent are the first that come back.
  private static let capacity = 64
  private var ties: [Tie] = []
  /// Commands that have left the queue.
  private(set) var removed = 0

  @inline(__always)
  mutating func noteRemoved() { removed &+= 1 }

  /// Nothing follows from what was sent before.
  mutating func forget() { ties = [] }

  /// The last of `pendingCount` pending commands is one that is answered by `argument`.
  mutating func note(_ argument: UnsafeRawBufferPointer, pendingCount: Int) {
    let hash = ContentTies.hash(argument)
    if let index = ties.firstIndex(where: { $0.hash == hash }) {
      ties[index].isRepeated = true
      return
    }
    if ties.count == ContentTies.capacity { ties.removeAll { $0.command < removed } }
    if ties.count < ContentTies.capacity { ties.append(Tie(hash: hash, command: removed + pendingCount - 1)) }
  }

  /// Which of the pending commands is answered by `content`, and whether that is certain: a client that always sends the
  /// same argument proves nothing, one that has sent several and none of them twice does.
  func command(answeredBy content: UnsafeRawBufferPointer) -> (index: Int, isCertain: Bool)? {
    guard !ties.isEmpty else { return nil }
    let hash = ContentTies.hash(content)
    guard let tie = ties.first(where: { $0.hash == hash }), !tie.isRepeated, tie.command >= removed else { return nil }
    return (tie.command - removed, ties.count > 1 && !ties.contains { $0.isRepeated })
  }

  /// Seeded, so that nobody can choose arguments of the same hash.
  private static func hash(_ bytes: UnsafeRawBufferPointer) -> Int {
    var hasher = Hasher()
    hasher.combine(bytes: bytes)
    return hasher.finalize()
  }

  /// The argument that a request's reply repeats; nil where it repeats none, or a part of it is missing.
  static func argument(_ request: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
    guard let request = RequestMap(request), let name = request.nameBytes, request.argumentCount == 1,
      name.elementsEqual("ECHO".utf8) || name.elementsEqual("PING".utf8)
    else { return nil }
    return request.argumentBytes(0)
  }

  /// The text of a response that is a bulk string; nil for any other, and where a part of it is missing.
  static func content(_ response: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
    guard var value = Subscriptions.value(of: response, type: "bulk_string") else { return nil }
    return try? value.readString()
  }
}
