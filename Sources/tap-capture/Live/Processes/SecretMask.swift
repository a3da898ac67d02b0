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
    Rule(programs: [], options: ["--requirepass", "--masterauth", "--primaryauth", "--tls-key-file-pass"]),
  ]

  /// Marks of passwords and their hashes in rules of ACL SETUSER.
  static let aclMarks = Array("><#!".utf8)

  /// Ends of names like `DB_PASSWORD=…` and `--redis-password …` that make the value a secret.
  static let secretWords = [
    "PASSWORD", "PASSWD", "PASSPHRASE", "TOKEN", "SECRET", "SECRET_KEY", "API_KEY", "APIKEY", "REDISCLI_AUTH", "_PASS",
  ]

  /// The arguments with every secret replaced. The first is the program.
  static func masking(_ arguments: [[UInt8]]) -> [[UInt8]] {
    var state = SecretMaskState()
    return arguments.map { argument in
      // The script of `sh -c` is a command line by itself.
      let words = ShellWords.ranges(in: argument)
      guard words.count > 1, !state.expectsSecret else { return state.masking(argument) }
      var inner = state
      var masked: [UInt8] = []
      var end = 0
      for word in words {
        masked += argument[end..<word.lowerBound] + inner.masking(Array(argument[word]))
        end = word.upperBound
      }
      return masked + argument[end...]
    }
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
