// The commands whose replies do not simply come one by one, and those that carry secrets or wait on purpose.
import TapWire

/// What is special about a command.
struct CommandTraits {
  /// What its reply is, and what it changes.
  enum Effect: UInt8 {
    case none
    case subscribe
    case unsubscribe
    case monitor
    case reset
    /// HELLO switches the protocol, and with it the form of messages.
    case hello
    /// MULTI, EXEC and DISCARD: what stands between them is queued, and EXEC has the replies.
    case multi
    case exec
    case discard
    /// They change what is known of the connection, like HELLO and some of CLIENT's subcommands.
    case select
    case auth
    /// CLIENT: its REPLY subcommand switches replies off and on.
    case client
    /// Runs for as long as its script does, or nobody knows what it is.
    case slow
    /// SYNC and PSYNC: a replication stream follows.
    case sync
    /// REPLCONF: its ACK and GETACK are not answered.
    case replconf
  }

  var effect = Effect.none
  /// It may wait for something to happen: its latency is no slowness.
  var isBlocking = false
  /// Its arguments may hold passwords.
  var mayHoldSecrets = false

  /// Whether it changes which commands are answered: those of CLIENT REPLY, and those of which it depends when they act.
  var changesSilence: Bool {
    switch effect {
    case .client, .replconf, .multi, .exec, .discard, .reset: true
    default: false
    }
  }

  /// Nothing is special about it.
  @inline(__always) var isPlain: Bool { effect == .none && !isBlocking && !mayHoldSecrets }
}

/// The special commands by name, found in a few nanoseconds.
final class CommandTable: Sendable {
  static let shared = CommandTable()

  /// Of an empty slot the name is empty.
  private struct Entry {
    var name = CommandName()
    var traits = CommandTraits()
  }

  /// Never changed, and never freed: an array's bounds and optionals would cost more than the search.
  private nonisolated(unsafe) let slots: UnsafePointer<Entry>

  private init() {
    let slots = UnsafeMutablePointer<Entry>.allocate(capacity: 256)
    slots.initialize(repeating: Entry(), count: 256)
    func add(_ name: StaticString, _ traits: CommandTraits) {
      let name = CommandName(name)
      var index = CommandTable.home(name)
      while slots[index].name.length > 0 { index = (index + 1) & 255 }
      slots[index] = Entry(name: name, traits: traits)
    }
    for name: StaticString in ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"] {
      add(name, CommandTraits(effect: .subscribe))
    }
    for name: StaticString in ["UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"] {
      add(name, CommandTraits(effect: .unsubscribe))
    }
    for name: StaticString in [
      "BLPOP", "BRPOP", "BLMOVE", "BLMPOP", "BRPOPLPUSH", "BZPOPMIN", "BZPOPMAX", "BZMPOP", "XREAD", "XREADGROUP",
      "WAIT",
      "WAITAOF",
    ] { add(name, CommandTraits(isBlocking: true)) }
    add("HELLO", CommandTraits(effect: .hello, mayHoldSecrets: true))
    add("SELECT", CommandTraits(effect: .select))
    add("AUTH", CommandTraits(effect: .auth, mayHoldSecrets: true))
    for name: StaticString in ["CONFIG", "ACL", "MIGRATE", "SENTINEL"] {
      add(name, CommandTraits(mayHoldSecrets: true))
    }
    for name: StaticString in ["EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO", "DEBUG"] {
      add(name, CommandTraits(effect: .slow))
    }
    add("MULTI", CommandTraits(effect: .multi))
    add("EXEC", CommandTraits(effect: .exec))
    add("DISCARD", CommandTraits(effect: .discard))
    add("MONITOR", CommandTraits(effect: .monitor))
    add("RESET", CommandTraits(effect: .reset))
    add("CLIENT", CommandTraits(effect: .client))
    add("SYNC", CommandTraits(effect: .sync))
    add("PSYNC", CommandTraits(effect: .sync))
    add("REPLCONF", CommandTraits(effect: .replconf))
    self.slots = UnsafePointer(slots)
  }

  @inline(__always)
  private static func home(_ name: CommandName) -> Int {
    Int(truncatingIfNeeded: ((name.low ^ name.high) &* 0x9e37_79b9_7f4a_7c15) >> 56)
  }

  @inline(__always)
  func traits(of name: CommandName) -> CommandTraits {
    var index = CommandTable.home(name)
    // The table is less than half full: the search ends.
    while slots[index].name.length > 0 {
      if slots[index].name == name { return slots[index].traits }
      index = (index &+ 1) & 255
    }
    return CommandTraits()
  }
}
