// What kind of command it is, by the flags and ACL categories of redis-server's own command table.

/// The first that fits of what a command is.
package enum CommandClass: UInt8, CaseIterable, Sendable {
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

  /// The class in annotations that `append` has written; nil where they are no such.
  ///
  /// No two words begin with the same letter: it stands behind the map's head, "class" with its head, and its own head.
  @inline(__always)
  init?(annotations: UnsafeRawBufferPointer) {
    guard annotations.count > 8 else { return nil }
    switch annotations[8] {
    case UInt8(ascii: "u"): self = .unknown
    case UInt8(ascii: "b"): self = .blocking
    case UInt8(ascii: "p"): self = .pubsub
    case UInt8(ascii: "s"): self = .scripting
    case UInt8(ascii: "a"): self = .admin
    case UInt8(ascii: "w"): self = .write
    case UInt8(ascii: "r"): self = .read
    case UInt8(ascii: "t"): self = .transaction
    case UInt8(ascii: "c"): self = .connection
    case UInt8(ascii: "o"): self = .other
    default: return nil
    }
  }

  /// What stands in annotations before the keys: the map's head, `member`, and "keys" with its head.
  @inline(__always) var bytesBeforeKeys: Int { 1 + member.utf8CodeUnitCount + 5 }

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
