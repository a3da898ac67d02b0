// Commands that SLOWLOG (COMMANDLOG of Valkey) repeats: older servers, and some others, do not mask passwords in them.
import TapWire

/// Follows the items of a response, and knows of each string whether it is a secret of a logged command: its words are an array
/// behind three numbers, `[id, time, duration, [word, …], …]`.
struct LoggedCommand {
  private var numbers = 0
  private var wordsToCome: UInt64 = 0
  private var argumentCount = 0
  private var rule: SecretRule?

  /// An item that is no string begins.
  mutating func note(_ head: CBORHead) {
    switch head.major {
    case .unsigned: numbers += 1
    // The mark of a cut array has numbers of its own, and the array behind it is the one that counts.
    case .array where numbers >= 3 || wordsToCome > 0 && rule == nil:
      wordsToCome = head.argument
      argumentCount = Int(clamping: head.argument) - 1
      rule = nil
    case .tag: break
    default: numbers = 0
    }
  }

  /// The next string: whether it is secret.
  mutating func isSecret(_ word: UnsafeRawBufferPointer) -> Bool {
    numbers = 0
    guard wordsToCome > 0 else { return false }
    wordsToCome -= 1
    guard rule != nil else {
      let name = String(decoding: word.prefix(256), as: UTF8.self).uppercased()
      rule = SecretRule(command: name, argumentCount: argumentCount)
      return false
    }
    return rule?.isSecret(word: word, at: argumentCount - Int(wordsToCome) - 1) == true
  }
}
