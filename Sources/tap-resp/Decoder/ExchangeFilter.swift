// Which exchanges leave the stage: asked when an exchange is complete and before it is written, so that pairing knows nothing
// of it.
import TapWire

/// What an exchange must be to be shown. Conditions of different kinds must all hold, of one kind any; an empty one holds.
///
/// Notices, gaps and what is no exchange are never hidden.
package struct ExchangeFilter: Sendable {
  package var commands: [CommandPattern] = []
  package var hiddenCommands: [CommandPattern] = []
  /// Matched against the keys of the annotations, before anything is hashed: one that matches is enough.
  package var keys: [Glob] = []
  package var hiddenKeys: [Glob] = []
  package var classes: CommandClasses = []
  package var hiddenClasses: CommandClasses = []
  /// Only those whose reply is an error.
  package var isErrorsOnly = false
  /// Only those whose latency is greater.
  package var slowerThanNanoseconds: UInt64?
  package var databases: [Int64] = []

  package init() {}

  /// Whether everything is shown.
  package var isEmpty: Bool {
    commands.isEmpty && hiddenCommands.isEmpty && keys.isEmpty && hiddenKeys.isEmpty && classes.isEmpty
      && hiddenClasses.isEmpty && !isErrorsOnly && slowerThanNanoseconds == nil && databases.isEmpty
  }

  /// An exchange as it would be written.
  struct Candidate {
    var request: UnsafeRawBufferPointer?
    /// Nil also where it is known to be no error, and was not written yet.
    var response: UnsafeRawBufferPointer?
    var annotations: UnsafeRawBufferPointer?
    var start: UInt64
    var end: UInt64?
    var flags: ExchangeFlags
  }

  /// All conditions but that of the database, the cheap ones first.
  func shows(_ exchange: Candidate) -> Bool {
    if let slowerThanNanoseconds {
      // The wait of a command that blocks, and of a queued one for EXEC, is nobody's slowness.
      guard let end = exchange.end, exchange.request != nil, exchange.flags.isDisjoint(with: [.blocking, .queued]),
        end &- exchange.start > slowerThanNanoseconds
      else { return false }
    }
    if isErrorsOnly, !exchange.isError { return false }
    if !classes.isEmpty || !hiddenClasses.isEmpty {
      let commandClass = exchange.commandClass
      if !classes.isEmpty {
        guard let commandClass, classes.contains(commandClass) else { return false }
      }
      if let commandClass, hiddenClasses.contains(commandClass) { return false }
    }
    if !commands.isEmpty || !hiddenCommands.isEmpty {
      if !commands.isEmpty, !exchange.isAny(of: commands) { return false }
      if exchange.isAny(of: hiddenCommands) { return false }
    }
    if !keys.isEmpty, !exchange.hasKey(matching: keys) { return false }
    if !hiddenKeys.isEmpty, exchange.hasKey(matching: hiddenKeys) { return false }
    return true
  }
}

extension ExchangeFilter.Candidate {
  /// Of a reply as a whole: that of EXEC is none, the replies in it have exchanges of their own.
  fileprivate var isError: Bool {
    guard let response, let type = Subscriptions.value(of: response)?.type else { return false }
    return type == "error" || type == "bulk_error"
  }

  /// That of the annotations; what the server pushes is pub/sub. Nil where no command is known.
  @inline(__always)
  fileprivate var commandClass: CommandClass? {
    guard let annotations else { return flags.contains(.push) ? .pubsub : nil }
    return CommandClass(annotations: annotations)
  }

  fileprivate func isAny(of patterns: [CommandPattern]) -> Bool {
    guard let request, let name = ExchangeFilter.Candidate.name(request) else { return false }
    for pattern in patterns
    where pattern.matches(name, firstArgument: { RequestMap(request)?.argumentBytes(0) }) {
      return true
    }
    return false
  }

  /// The name in a request map, behind the map's head and "command" with its head; nil where it is not whole.
  @inline(__always)
  private static func name(_ request: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
    guard request.count > 9 else { return nil }
    // No command that has a name of its own is as long as 24 bytes: its head is one byte, and holds the length.
    let length = Int(request[9]) &- Int(CBORMajor.textString.rawValue)
    if length >= 0, length < 24, length <= request.count &- 10 {
      return UnsafeRawBufferPointer(rebasing: request[10..<(10 &+ length)])
    }
    var reader = CBORReader(UnsafeRawBufferPointer(rebasing: request[9...]), streamOffset: 0)
    return try? reader.readString()
  }

  fileprivate func hasKey(matching globs: [Glob]) -> Bool {
    guard let annotations, let commandClass = CommandClass(annotations: annotations),
      annotations.count > commandClass.bytesBeforeKeys
    else { return false }
    var reader = CBORReader(
      UnsafeRawBufferPointer(rebasing: annotations[commandClass.bytesBeforeKeys...]), streamOffset: 0)
    reader.skipCutMark()
    guard let count = try? reader.readArrayHead() else { return false }
    for _ in 0..<count {
      reader.skipCutMark()
      guard let key = try? reader.readString() else { return false }
      for glob in globs where glob.matches(key) { return true }
    }
    return false
  }
}

/// A set of classes.
package struct CommandClasses: OptionSet, Sendable {
  package let rawValue: UInt16

  package init(rawValue: UInt16) { self.rawValue = rawValue }

  package init(_ classes: [CommandClass]) {
    self.init(rawValue: classes.reduce(0) { $0 | 1 << UInt16($1.rawValue) })
  }

  @inline(__always)
  func contains(_ commandClass: CommandClass) -> Bool { rawValue >> UInt16(commandClass.rawValue) & 1 == 1 }
}

extension CBORReader {
  /// Moves to the beginning that is kept of a cut value, if one stands here: tag [full length, beginning].
  mutating func skipCutMark() {
    // The tag's head is one of three bytes, d9 cd 1a.
    guard rest.count > 3, rest[0] == CBORMajor.tag.rawValue | 25 else { return }
    guard let head = try? peekHead(), head.argument == WireTag.cut else { return }
    guard (try? readHead()) != nil, (try? readArrayHead()) != nil, (try? readItem()) != nil else { return }
  }
}
