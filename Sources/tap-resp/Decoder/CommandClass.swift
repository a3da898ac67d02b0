// What kind of command it is, by the flags and ACL categories of redis-server's own command table.

/// The first that fits of what a command is.
enum CommandClass: UInt8, CaseIterable {
  /// A module's, or one that the command table does not know.
  case unknown
  case blocking
  case pubsub
  case scripting
  case admin
  case write
  case read
  case transaction
  case connection
  case other

  /// The class that a line of the command list names.
  init(_ name: Slice<UnsafeRawBufferPointer>) {
    self = CommandClass.allCases.first { $0.word.elementsEqual(name) } ?? .unknown
  }

  /// The word alone: a head and "class" stand before it, and its own head.
  private var word: Slice<UnsafeBufferPointer<UInt8>> {
    UnsafeBufferPointer(start: member.utf8Start, count: member.utf8CodeUnitCount).dropFirst(7)
  }

  /// The member of the annotations, with its key: a head, "class", a head, the word.
  var member: StaticString {
    switch self {
    case .unknown: "eclassgunknown"
    case .blocking: "eclasshblocking"
    case .pubsub: "eclassfpubsub"
    case .scripting: "eclassiscripting"
    case .admin: "eclasseadmin"
    case .write: "eclassewrite"
    case .read: "eclassdread"
    case .transaction: "eclassktransaction"
    case .connection: "eclassjconnection"
    case .other: "eclasseother"
    }
  }
}
