// What the arguments so far say about the next one: is it a secret?

struct SecretMaskState {
  /// Those that apply, and those of programs that have not been named.
  private var rules = SecretMask.rules.filter { $0.programs.isEmpty }
  private var dormant = SecretMask.rules.filter { !$0.programs.isEmpty }
  private var isSecretNext = false
  private var areSecretsFromHere = false
  private var areMarksSecret = false

  /// Whether the next argument is one whatever it says.
  var expectsSecret: Bool { isSecretNext || areSecretsFromHere }

  /// The next argument, or what stands in its place.
  mutating func masking(_ argument: [UInt8]) -> [UInt8] {
    if expectsSecret {
      isSecretNext = false
      return SecretMask.mask
    }
    // In quotes where it is a word of a script.
    let bare = argument.drop { $0 == UInt8(ascii: "'") || $0 == UInt8(ascii: "\"") }
    if areMarksSecret, let mark = bare.first, SecretMask.aclMarks.contains(mark) { return [mark] + SecretMask.mask }
    let text = String(decoding: argument, as: UTF8.self)
    // Programs run others: sudo, timeout, env, an interpreter.
    let name = String(text.split(separator: "/").last ?? "")
    let split = dormant.partition { rule in rule.programs.contains { name.hasPrefix($0) } }
    rules += dormant[split...]
    dormant.removeSubrange(split...)

    let upper = text.uppercased()
    areSecretsFromHere = rules.contains { $0.commands.contains(upper) }
    if rules.contains(where: { $0.markedBehind.contains(upper) }) { areMarksSecret = true }
    isSecretNext = isOption(argument) || (argument.first == UInt8(ascii: "-") && SecretMask.isSecretName(argument))
    return isSecretNext ? argument : maskingWithin(argument)
  }

  private func isOption(_ name: [UInt8]) -> Bool {
    let lower = String(decoding: name, as: UTF8.self).lowercased()
    return rules.contains { $0.options.contains(lower) }
  }

  private func maskingWithin(_ argument: [UInt8]) -> [UInt8] {
    for prefix in rules.lazy.flatMap(\.prefixes).map({ Array($0.utf8) })
    where argument.starts(with: prefix) && argument.count > prefix.count {
      return prefix + SecretMask.mask
    }
    // `name=value`, and `--name:value`.
    let isColonOption = argument.first == UInt8(ascii: "-")
    if let end = argument.firstIndex(where: { $0 == UInt8(ascii: "=") || (isColonOption && $0 == UInt8(ascii: ":")) }) {
      let name = Array(argument[..<end])
      if isOption(name) || SecretMask.isSecretName(name) { return Array(argument[...end]) + SecretMask.mask }
    }
    return SecretMask.maskingURI(argument)
  }
}

/// The words of a text as a shell would see them, roughly: quotes keep blanks together.
enum ShellWords {
  static func ranges(in text: [UInt8]) -> [Range<Int>] {
    var words: [Range<Int>] = []
    var start: Int?
    var quote: UInt8?
    for (index, byte) in text.enumerated() {
      if let open = quote {
        if byte == open { quote = nil }
      } else if byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"") {
        quote = byte
        if start == nil { start = index }
      } else if byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\n") {
        if let begun = start { words.append(begun..<index) }
        start = nil
      } else if start == nil {
        start = index
      }
    }
    if let begun = start { words.append(begun..<text.count) }
    return words
  }
}
