// What of the exchanges is written, as it stands on the command line.
import ArgumentParser
import RESP
import TapCommandLine

struct OutputOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Show this command only; with a second word its subcommand: 'CONFIG SET'. May be repeated: any of them.",
      valueName: "name"))
  var command: [String] = []

  @Option(name: .long, help: ArgumentHelp("Hide this command. May be repeated.", valueName: "name"))
  var notCommand: [String] = []

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Show commands with a key that matches, as in KEYS: * ? [a-z] [^a] and \\. May be repeated: any of them.",
      valueName: "glob"))
  var key: [String] = []

  @Option(name: .long, help: ArgumentHelp("Hide commands with a key that matches. May be repeated.", valueName: "glob"))
  var notKey: [String] = []

  @Option(
    name: .customLong("class"),
    help: ArgumentHelp(
      "Show commands of these classes only: \(allClasses).",
      valueName: "class,…"))
  var classes: [String] = []

  @Option(name: .long, help: ArgumentHelp("Hide commands of these classes.", valueName: "class,…"))
  var notClass: [String] = []

  @Flag(name: .long, help: "Show commands that were answered with an error only.")
  var errors = false

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Show commands only that took longer: seconds, or a number with us, ms, s, m or h. What waits on purpose is not slow.",
      valueName: "time"))
  var slowerThan: String?

  @Option(
    name: .customLong("db"),
    help: ArgumentHelp("Show what is for this database only. May be repeated: any of them.", valueName: "number"))
  var databases: [String] = []

  @Option(
    name: .long,
    help: ArgumentHelp("Cut longer arguments and values of replies; their full length is told.", valueName: "size"))
  var maxValue: String?

  @Option(
    name: .long, help: ArgumentHelp("Decode one connection in N, and no byte of the others.", valueName: "1/N"))
  var sample: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Hide more than passwords: args (arguments that are no keys), values (those and the values of replies), keys (wherever they "
        + "may stand); or nothing: none.",
      valueName: "part,…"))
  var redact: [String] = []

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Hide keys like --redact keys, but show a hash of each argument that is one: HMAC-SHA-256, with the bytes of this file for a "
        + "key.",
      valueName: "salt-file"))
  var hashKeys: String?

  /// What the options ask for; throws where a value is none.
  func rules() throws -> OutputRules {
    var rules = OutputRules()
    rules.filter.commands = try command.map(Self.commandPattern)
    rules.filter.hiddenCommands = try notCommand.map(Self.commandPattern)
    rules.filter.keys = key.map { Glob($0) }
    rules.filter.hiddenKeys = notKey.map { Glob($0) }
    rules.filter.classes = CommandClasses(try classes.flatMap(Self.commandClasses))
    rules.filter.hiddenClasses = CommandClasses(try notClass.flatMap(Self.commandClasses))
    rules.filter.isErrorsOnly = errors
    rules.filter.slowerThanNanoseconds = try slowerThan.map { try DurationOption(parsing: $0).nanoseconds }
    rules.filter.databases = try databases.map { text in
      guard let number = Int64(text), number >= 0 else {
        throw ValidationError("'\(text)' is no database; expected its number, 0 or above")
      }
      return number
    }
    rules.maximumValueBytes = try maxValue.map { try SizeOption(parsing: $0).bytes }
    rules.redaction = try redaction()
    return rules
  }

  private func redaction() throws -> Redaction {
    var redaction = Redaction()
    let words = redact.flatMap { $0.lowercased().split(separator: ",", omittingEmptySubsequences: false) }
    for word in words {
      switch word {
      case "args": redaction.parts.insert(.arguments)
      case "values": redaction.parts.insert(.values)
      case "keys": redaction.parts.insert(.keys)
      case "none": redaction.masksSecrets = false
      default: throw ValidationError("'\(word)' cannot be hidden; expected args, values, keys or none")
      }
    }
    guard redaction.masksSecrets || words.count == 1 && hashKeys == nil else {
      throw ValidationError("--redact none stands alone; expected nothing else to be hidden")
    }
    return redaction
  }

  /// The connections to decode; nil for all.
  func connectionSample() throws -> ConnectionSample? {
    try sample.map { text in
      guard text.hasPrefix("1/"), let sample = UInt32(text.dropFirst(2)).flatMap({ ConnectionSample(oneIn: $0) }) else {
        throw ValidationError("'\(text)' is no share of the connections; expected 1/N, as 1/100")
      }
      return sample
    }
  }

  func validate() throws {
    _ = try rules()
    _ = try connectionSample()
  }

  private static func commandPattern(_ text: String) throws -> CommandPattern {
    guard let pattern = CommandPattern(text) else {
      throw ValidationError("'\(text)' is no command; expected one word, or two for a subcommand: 'CONFIG SET'")
    }
    return pattern
  }

  private static func commandClasses(_ list: String) throws -> [CommandClass] {
    try list.lowercased().split(separator: ",", omittingEmptySubsequences: false).map { word in
      guard let found = CommandClass.allCases.first(where: { "\($0)" == word }) else {
        throw ValidationError("'\(word)' is no class; expected any of \(allClasses)")
      }
      return found
    }
  }

  private static let allClasses = CommandClass.allCases.map { "\($0)" }.joined(separator: ", ")
}
