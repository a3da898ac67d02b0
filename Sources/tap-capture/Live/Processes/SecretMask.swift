// Passwords in command lines never leave the capture. A pure function over arguments; the rules are tables.

enum SecretMask {
  /// What stands in a secret's place.
  static let mask = Array("***".utf8)

  /// How a family of programs takes passwords.
  struct Rule {
    /// Beginnings of program names (without their folder). Empty: any program.
    var programs: [String]
    /// The secret is the next argument, or follows `=`.
    var options: [String]
    /// The secret follows in the same argument.
    var prefixes: [String] = []
    /// Words after which every argument may be a secret, in any case: commands given as arguments.
    var commands: [String] = []
  }

  static let rules = [
    Rule(
      programs: ["redis", "valkey", "keydb", "memtier_benchmark"], options: ["-a", "requirepass", "masterauth"],
      commands: ["AUTH"]),
    Rule(programs: ["mysql", "mariadb"], options: [], prefixes: ["-p"]),
    Rule(programs: ["mongo", "sshpass"], options: ["-p"], prefixes: ["-p"]),
    Rule(programs: ["curl"], options: ["-u", "--user", "-U", "--proxy-user", "--oauth2-bearer"]),
    Rule(programs: ["wget"], options: ["--http-password", "--ftp-password", "--proxy-password"]),
    Rule(
      programs: [],
      options: [
        "--password", "--passwd", "--pass", "--passphrase", "--requirepass", "--masterauth", "--primaryauth",
        "--tls-key-file-pass", "--token", "--auth-token", "--access-token", "--api-key", "--apikey", "--secret",
        "--secret-key", "--client-secret",
      ]),
  ]

  /// Words that make the value of an argument like `DB_PASSWORD=…` a secret.
  static let secretWords = [
    "PASSWORD", "PASSWD", "PASSPHRASE", "TOKEN", "SECRET", "API_KEY", "APIKEY", "REDISCLI_AUTH",
  ]

  /// The arguments with every secret replaced. The first is the program.
  static func masking(_ arguments: [[UInt8]]) -> [[UInt8]] {
    guard let first = arguments.first else { return [] }
    let program = String(decoding: first.split(separator: UInt8(ascii: "/")).last ?? [], as: UTF8.self)
    let applicable = rules.filter { rule in rule.programs.isEmpty || rule.programs.contains { program.hasPrefix($0) } }
    let options = Set(applicable.flatMap(\.options).map { Array($0.utf8) })
    let prefixes = applicable.flatMap(\.prefixes).map { Array($0.utf8) }
    let commands = Set(applicable.flatMap(\.commands))

    var masked = [maskingURI(first)]
    var isSecretNext = false
    var areSecretsFromHere = false
    for argument in arguments.dropFirst() {
      if isSecretNext || areSecretsFromHere {
        masked.append(mask)
        isSecretNext = false
        continue
      }
      areSecretsFromHere = commands.contains(String(decoding: argument, as: UTF8.self).uppercased())
      isSecretNext = options.contains(argument)
      masked.append(isSecretNext ? argument : maskingWithin(argument, options: options, prefixes: prefixes))
    }
    return masked
  }

  private static func maskingWithin(_ argument: [UInt8], options: Set<[UInt8]>, prefixes: [[UInt8]]) -> [UInt8] {
    for prefix in prefixes where argument.starts(with: prefix) && argument.count > prefix.count {
      return prefix + mask
    }
    if let equals = argument.firstIndex(of: UInt8(ascii: "=")) {
      let name = Array(argument[..<equals])
      if options.contains(name) || isSecretName(name) { return Array(argument[...equals]) + mask }
    }
    return maskingURI(argument)
  }

  private static func isSecretName(_ name: [UInt8]) -> Bool {
    let upper = String(decoding: name, as: UTF8.self).uppercased()
    guard upper.utf8.allSatisfy({ $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-") || isAlphanumeric($0) }) else {
      return false
    }
    let words = String(upper.map { $0 == "-" ? "_" : $0 })
    return secretWords.contains { words.hasSuffix($0) }
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
  }

  /// Replaces the password of `scheme://user:password@host` (RFC 3986, 3.2.1), anywhere in the argument.
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
      guard let at = rest[..<end].lastIndex(of: UInt8(ascii: "@")),
        let colon = rest[..<at].firstIndex(of: UInt8(ascii: ":"))
      else { continue }
      result += rest[...colon] + mask
      rest = rest[at...]
    }
    return result + rest
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
