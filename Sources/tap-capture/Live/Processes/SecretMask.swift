// Passwords in command lines never leave the capture. A pure function over arguments; the rules are tables.

enum SecretMask {
  /// What stands in a secret's place.
  static let mask = Array("***".utf8)

  /// How a family of programs takes passwords.
  struct Rule {
    /// Beginnings of program names (without their folder). Empty: any program.
    var programs: [String]
    /// The secret is the next argument, or follows `=`. In lower case; options are compared without case.
    var options: [String]
    /// The secret follows in the same argument.
    var prefixes: [String] = []
    /// Words after which every argument may be a secret, in upper case: commands given as arguments.
    var commands: [String] = []
    /// Words after which an argument that begins with one of these marks holds a secret, in upper case.
    var markedBehind: [String] = []
  }

  static let rules = [
    Rule(
      programs: ["redis", "valkey", "keydb", "memtier_benchmark"],
      options: [
        "-a", "--authenticate", "requirepass", "masterauth", "primaryauth", "tls-key-file-pass",
        "tls-client-key-file-pass", "auth-pass", "sentinel-pass",
      ],
      commands: ["AUTH", "AUTH2"], markedBehind: ["SETUSER", "--USER"]),
    Rule(programs: ["mysql", "mariadb"], options: [], prefixes: ["-p"]),
    Rule(programs: ["mongo", "sshpass"], options: ["-p"], prefixes: ["-p"]),
    Rule(programs: ["curl"], options: ["-u", "--user", "--proxy-user", "--oauth2-bearer"]),
    Rule(
      programs: [], options: ["--requirepass", "--masterauth", "--primaryauth", "--tls-key-file-pass"],
      commands: ["AUTHORIZATION:", "PROXY-AUTHORIZATION:"]),
  ]

  /// Marks of passwords and their hashes in rules of ACL SETUSER.
  static let aclMarks = Array("><#!".utf8)

  /// Ends of names like `DB_PASSWORD=…` and `--redis-password …` that make the value a secret.
  static let secretWords = [
    "PASSWORD", "PASSWD", "PASSPHRASE", "TOKEN", "SECRET", "SECRET_KEY", "API_KEY", "APIKEY", "_AUTH", "_PASS",
    "_PW", "CREDENTIAL", "CREDENTIALS",
  ]

  /// The arguments with every secret replaced. The first is the program.
  static func masking(_ arguments: [[UInt8]]) -> [[UInt8]] {
    var state = SecretMaskState()
    return arguments.map { masking($0, &state, depth: 0) }
  }

  /// The script of `sh -c` is a command line by itself, and so is what stands in quotes there.
  private static func masking(_ argument: [UInt8], _ state: inout SecretMaskState, depth: Int) -> [UInt8] {
    let words = ShellWords.ranges(in: argument)
    guard !state.expectsSecret, depth < 4 else { return state.masking(argument) }
    if words.count == 1, let quote = argument.first, quote == argument.last, argument.count > 2,
      quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"")
    {
      let inside = Array(argument[1..<(argument.count - 1)])
      guard ShellWords.ranges(in: inside).count > 1 else { return state.masking(argument) }
      return [quote] + masking(inside, &state, depth: depth + 1) + [quote]
    }
    guard words.count > 1 else { return state.masking(argument) }
    var inner = state
    var masked: [UInt8] = []
    var end = 0
    for word in words {
      masked += argument[end..<word.lowerBound] + masking(Array(argument[word]), &inner, depth: depth + 1)
      end = word.upperBound
    }
    return masked + argument[end...]
  }

  /// Whether the name of an option, a variable or a parameter says that its value is a secret.
  static func isSecretName(_ name: [UInt8]) -> Bool {
    let upper = String(decoding: name, as: UTF8.self).uppercased()
    guard upper.utf8.allSatisfy({ $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-") || isAlphanumeric($0) }) else {
      return false
    }
    let words = "_" + upper.map { $0 == "-" ? "_" : $0 }
    return secretWords.contains { words.hasSuffix($0) }
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
  }

  /// Schemes whose user, where it stands alone, is a password or a token: redis-cli takes it for one.
  private static let passwordSchemes = ["redis", "rediss", "valkey", "valkeys", "http", "https"]

  /// Replaces the password of `scheme://user:password@host` (RFC 3986, 3.2.1), anywhere in the argument, and what parameters of
  /// a query hold whose names say that it is a secret.
  static func maskingURI(_ argument: [UInt8]) -> [UInt8] {
    let marker = Array("://".utf8)
    var result: [UInt8] = []
    var rest = argument[...]
    while let authority = endOfFirst(marker, in: rest) {
      result += rest[..<authority]
      rest = rest[authority...]
      // The authority ends at a slash, a question mark, a number sign, or with the text.
      let ends = Array("/?# \t\"'".utf8)
      let end = rest.firstIndex { ends.contains($0) } ?? rest.endIndex
      // A password may hold '@' unescaped where the writer was careless: the last one ends it.
      guard let at = rest[..<end].lastIndex(of: UInt8(ascii: "@")) else { continue }
      if let colon = rest[..<at].firstIndex(of: UInt8(ascii: ":")) {
        result += rest[...colon] + mask
      } else {
        let scheme = result.dropLast(marker.count).split { !isSchemeByte($0) }.last ?? []
        guard passwordSchemes.contains(String(decoding: scheme, as: UTF8.self).lowercased()) else { continue }
        result += mask
      }
      rest = rest[at...]
    }
    return maskingQuery(result + rest)
  }

  private static func isSchemeByte(_ byte: UInt8) -> Bool { isAlphanumeric(byte & 0xdf) || isAlphanumeric(byte) }

  private static func maskingQuery(_ argument: [UInt8]) -> [UInt8] {
    guard let question = argument.firstIndex(of: UInt8(ascii: "?")) else { return argument }
    var result = Array(argument[...question])
    for (index, parameter) in argument[(question + 1)...].split(
      separator: UInt8(ascii: "&"), omittingEmptySubsequences: false
    ).enumerated() {
      if index > 0 { result.append(UInt8(ascii: "&")) }
      guard let equals = parameter.firstIndex(of: UInt8(ascii: "=")), isSecretName(Array(parameter[..<equals])) else {
        result += parameter
        continue
      }
      result += parameter[...equals] + mask
    }
    return result
  }

  private static func endOfFirst(_ pattern: [UInt8], in bytes: ArraySlice<UInt8>) -> Int? {
    guard bytes.count >= pattern.count else { return nil }
    for start in bytes.startIndex...(bytes.endIndex - pattern.count)
    where bytes[start..<(start + pattern.count)].elementsEqual(pattern) {
      return start + pattern.count
    }
    return nil
  }
}
