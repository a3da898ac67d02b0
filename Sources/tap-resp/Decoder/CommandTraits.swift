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
  /// Whether it may wait for something to happen: its latency is no slowness then.
  enum Blocking: UInt8 {
    case never
    case always
    /// Where it has the option BLOCK.
    case withOption
  }

  var blocking = Blocking.never
  /// Its arguments may hold passwords.
  var mayHoldSecrets = false
  var commandClass = CommandClass.unknown
  /// Its key specifications, for `CommandTable.specifications(of:)`.
  var keys: UInt16 = 0
  /// The positions of its keys follow from the number of its arguments.
  var areKeysConstant = true
  /// It has subcommands, which have classes and keys of their own.
  var isContainer = false

  /// Whether it changes which commands are answered: those of CLIENT REPLY, and those of which it depends when they act.
  var changesSilence: Bool {
    switch effect {
    case .client, .replconf, .multi, .exec, .discard, .reset: true
    default: false
    }
  }

  /// The server has not run it: it changes nothing and waits for nothing, and its arguments are secret all the same.
  mutating func keepOfMalformed() {
    effect = .none
    blocking = .never
  }

  /// Nothing is special about it.
  @inline(__always) var isPlain: Bool {
    effect == .none && blocking == .never && !mayHoldSecrets && areKeysConstant && !isContainer
  }
}

extension CommandTraits {
  /// The commands about which anything is special; the class and the keys of all stand in `CommandTable.commands`.
  static let special: [String: CommandTraits] = {
    var special: [String: CommandTraits] = [:]
    func add(_ names: String, _ traits: CommandTraits) {
      for name in names.split(separator: " ") { special[String(name)] = traits }
    }
    add("SUBSCRIBE PSUBSCRIBE SSUBSCRIBE", CommandTraits(effect: .subscribe))
    add("UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE", CommandTraits(effect: .unsubscribe))
    add(
      "BLPOP BRPOP BLMOVE BLMPOP BRPOPLPUSH BZPOPMIN BZPOPMAX BZMPOP WAIT WAITAOF", CommandTraits(blocking: .always))
    add("XREAD XREADGROUP", CommandTraits(blocking: .withOption))
    add("HELLO", CommandTraits(effect: .hello, mayHoldSecrets: true))
    add("SELECT", CommandTraits(effect: .select))
    add("AUTH", CommandTraits(effect: .auth, mayHoldSecrets: true))
    add("CONFIG ACL MIGRATE SENTINEL SLOWLOG COMMANDLOG", CommandTraits(mayHoldSecrets: true))
    add("EVAL EVALSHA EVAL_RO EVALSHA_RO FCALL FCALL_RO", CommandTraits(effect: .slow, mayHoldSecrets: true))
    add("SCRIPT FUNCTION", CommandTraits(mayHoldSecrets: true))
    add("DEBUG", CommandTraits(effect: .slow))
    add("MULTI", CommandTraits(effect: .multi))
    add("EXEC", CommandTraits(effect: .exec))
    add("DISCARD", CommandTraits(effect: .discard))
    add("MONITOR", CommandTraits(effect: .monitor))
    add("RESET", CommandTraits(effect: .reset))
    add("CLIENT", CommandTraits(effect: .client))
    add("SYNC PSYNC", CommandTraits(effect: .sync))
    add("REPLCONF", CommandTraits(effect: .replconf))
    return special
  }()
}
