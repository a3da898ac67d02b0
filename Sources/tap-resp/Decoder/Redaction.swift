// What --redact and --hash-keys hide, and which parts of an exchange that concerns.
import TapWire

/// What is replaced in exchanges before they leave the stage.
package struct Redaction: Sendable {
  /// What a user wants hidden beyond passwords.
  package struct Parts: OptionSet, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Arguments that are no keys.
    package static let arguments = Parts(rawValue: 1 << 0)
    /// Those, and the values of replies.
    package static let values = Parts(rawValue: 1 << 1)
    /// Keys, among the arguments and wherever else they may stand.
    package static let keys = Parts(rawValue: 1 << 2)
  }

  package var parts: Parts = []
  /// What stands in place of a key: the same text for the same key. Keys are hidden wherever that cannot be said.
  package var keyHash: (@Sendable (UnsafeRawBufferPointer) -> String)?
  /// Whether passwords are replaced.
  package var masksSecrets = true

  package init() {}

  /// Whether nothing is hidden besides passwords.
  package var isEmpty: Bool { parts.isEmpty && keyHash == nil }

  var hidesArguments: Bool { !parts.isDisjoint(with: [.arguments, .values]) }
  var hidesKeys: Bool { parts.contains(.keys) || keyHash != nil }

  /// Writes an argument that is a key: as it is, as its hash, or only how long it is.
  func append(key item: UnsafeRawBufferPointer, to output: inout ByteBuffer) {
    if !hidesKeys { return output.append(item) }
    // Of a key that is cut nobody can tell the hash.
    guard let keyHash, let key = RequestMap.string(item) else { return output.appendHidden(item) }
    output.appendText(keyHash(key))
  }
}

/// A request as far as it matters for what of it is hidden.
struct RedactedCommand {
  /// Whether the command is one that the table knows.
  let isKnown: Bool
  /// Whether the first argument is the name of a known subcommand.
  let hasSubcommand: Bool
  /// By position in `argv`; empty where there are none, or nobody can tell.
  let areKeys: [Bool]
  /// The first of them, in the order of the annotations, and how many there are.
  let keys: [Int]
  let keyCount: Int
  /// Whether it works on the keys that it names and says nothing of others: of every other command nobody knows what its
  /// arguments and its reply hold.
  let isPlain: Bool
  /// Whether its reply names keys.
  let repliesWithKeys: Bool

  init(_ request: RequestMap, _ flags: ExchangeFlags, isError: Bool) {
    var traits = CommandTraits()
    var hasSubcommand = false
    let name = request.nameBytes.map { CommandName($0) }
    // What breaks the protocol is no command of any kind.
    if let name, !flags.contains(.malformed) { traits = CommandTable.shared.traits(of: name) }
    isKnown = traits.commandClass != .unknown
    if traits.isContainer, let container = request.nameText, let word = request.argument(0) {
      traits = CommandTable.shared.traits(of: container, subcommand: word)
      hasSubcommand = traits.commandClass != .unknown
    }
    let found = CommandKeys.positions(of: request, traits)
    self.hasSubcommand = hasSubcommand
    areKeys = found?.areKeys ?? []
    keys = found?.first ?? []
    keyCount = found?.count ?? 0
    let isOnKeys = [.read, .write, .blocking].contains(traits.commandClass) && found != nil
    // An error says that the arguments may not be what they should. BY and GET of SORT are patterns of keys.
    isPlain = isOnKeys && !isError && name.map(RedactedCommand.sorting.contains) == false
    repliesWithKeys = name.map(RedactedCommand.naming.contains) ?? true
  }

  private static let sorting: Set<CommandName> = ["SORT", "SORT_RO"]
  /// They tell which of several keys had something.
  private static let naming: Set<CommandName> = [
    "BLPOP", "BRPOP", "BZPOPMIN", "BZPOPMAX", "LMPOP", "BLMPOP", "ZMPOP", "BZMPOP", "XREAD", "XREADGROUP",
  ]
}

extension CommandName: ExpressibleByStringLiteral {
  init(stringLiteral text: StaticString) { self.init(text) }
}

extension CommandKeys {
  /// Which arguments of a request are keys; nil where it has none, or where what tells them is not whole.
  static func positions(
    of request: RequestMap, _ traits: CommandTraits
  ) -> (areKeys: [Bool], first: [Int], count: Int)? {
    let specifications = CommandTable.shared.specifications(of: traits)
    guard !specifications.isEmpty else { return nil }
    // A word that is not whole may be the one that says where keys are, or how many.
    if !specifications.allSatisfy(\.isConstant), ValueTrimmer.holdsCut(request.arguments.rest) { return nil }
    var arguments = RequestArguments(request)
    var areKeys = [Bool](repeating: false, count: request.argumentCount + 1)
    var first: [Int] = []
    var count = 0
    for specification in specifications {
      let keys = specification.positions(
        argumentCount: request.fullArgumentCount + 1, argument: { arguments.text($0) })
      if keys.count == 0, specification.isCounted { return nil }
      count += keys.count
      for position in keys.prefix(areKeys.count) where position < areKeys.count { areKeys[position] = true }
      first += keys.prefix(RESPLimits.keys - first.count)
    }
    return count > 0 ? (areKeys, first, count) : nil
  }
}
