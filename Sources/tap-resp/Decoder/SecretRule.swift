// Where passwords stand in the arguments of a command.
import TapWire

/// Which arguments of one command are secret, asked in order.
struct SecretRule {
  let command: String
  let argumentCount: Int
  /// The first argument in upper case.
  private var subcommand = ""
  /// Arguments whose meaning is known already: first so many that may be shown, then so many that may not.
  private var plainToCome = 0
  private var secretsToCome = 0
  /// A part of an argument is missing: nobody knows what the arguments behind it are.
  private var isDamaged = false

  /// Parameters of CONFIG whose values are secrets.
  static let secretParameters: Set<String> = [
    "requirepass", "masterauth", "primaryauth", "tls-key-file-pass", "tls-client-key-file-pass",
  ]

  /// `command` is in upper case.
  init(command: String, argumentCount: Int) {
    self.command = command
    self.argumentCount = argumentCount
  }

  /// Whether the next argument, an item of CBOR, is secret.
  mutating func isSecret(_ item: UnsafeRawBufferPointer, at index: Int) -> Bool {
    var reader = CBORReader(item, streamOffset: 0)
    guard let string = try? reader.readString() else {
      isDamaged = true
      return true
    }
    return isSecret(word: string, at: index)
  }

  /// Whether the next argument is secret.
  mutating func isSecret(word: UnsafeRawBufferPointer, at index: Int) -> Bool {
    let isNamed = isSecret(String(decoding: word.prefix(256), as: UTF8.self), at: index)
    return isNamed || isScript(at: index) && SecretScript.namesSecret(word)
  }

  /// Whether the argument is a script: of EVAL the first, of SCRIPT LOAD and FUNCTION LOAD all behind that word.
  private func isScript(at index: Int) -> Bool {
    switch command {
    case "EVAL", "EVAL_RO": index == 0
    case "SCRIPT", "FUNCTION": subcommand == "LOAD" && index > 0
    default: false
    }
  }

  private mutating func isSecret(_ text: String, at index: Int) -> Bool {
    if isDamaged { return true }
    let upper = text.uppercased()
    if index == 0 { subcommand = upper }
    if plainToCome > 0 {
      plainToCome -= 1
      return false
    }
    if secretsToCome > 0 {
      secretsToCome -= 1
      return true
    }
    switch command {
    case "AUTH":
      // AUTH password, or AUTH username password; of anything else nobody knows what is what.
      return argumentCount != 2 || index > 0
    case "HELLO":
      if upper == "AUTH" {
        expectNameAndPassword(behind: index)
        // Behind it stand a name, a password and perhaps SETNAME with its word. Of anything else the password may be first.
        if ![2, 4].contains(argumentCount - index - 1) { (plainToCome, secretsToCome) = (0, 2) }
      }
      if upper == "SETNAME" { plainToCome = 1 }
    case "CONFIG":
      if subcommand == "SET", index > 0, SecretRule.secretParameters.contains(text.lowercased()) { secretsToCome = 1 }
    case "SENTINEL":
      if upper == "AUTH-PASS" || upper == "SENTINEL-PASS" { secretsToCome = 1 }
    case "ACL":
      // Rules of ACL SETUSER: >password, <password, #hash, !hash.
      return subcommand == "SETUSER" && index > 1 && [">", "<", "#", "!"].contains(String(text.prefix(1)))
    case "MIGRATE":
      if upper == "AUTH" { secretsToCome = 1 }
      if upper == "AUTH2" { expectNameAndPassword(behind: index) }
    case "EVAL", "EVAL_RO", "EVALSHA", "EVALSHA_RO", "FCALL", "FCALL_RO":
      // What a script passes on to CONFIG SET or MIGRATE is named by the same words.
      if index > 1, upper == "AUTH" || SecretRule.secretParameters.contains(text.lowercased()) { secretsToCome = 1 }
      if index > 1, upper == "AUTH2" { expectNameAndPassword(behind: index) }
    default:
      break
    }
    return false
  }

  private mutating func expectNameAndPassword(behind index: Int) {
    // Where only one argument follows, it may be either.
    plainToCome = argumentCount - index > 2 ? 1 : 0
    secretsToCome = 1
  }
}
