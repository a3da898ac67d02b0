// Scripts that hold a password: what a Lua program does with its strings nobody can tell from outside, so it is all or nothing.
enum SecretScript {
  /// Whether the text of a script names a parameter of CONFIG that is a password, or MIGRATE and its AUTH or AUTH2, in any case.
  static func namesSecret(_ script: UnsafeRawBufferPointer) -> Bool {
    if parameters.contains(where: { isFound($0, in: script) }) { return true }
    return isFound("migrate", in: script) && authWords.contains { isFound($0, in: script) }
  }

  private static let parameters = Array(SecretRule.secretParameters)
  /// In quotes, since `auth` is a part of many words. A command that scripts may not call, AUTH, is none of them.
  private static let authWords = ["'auth'", "\"auth\"", "'auth2'", "\"auth2\""]

  /// `word` is in lower case and ASCII.
  private static func isFound(_ word: String, in script: UnsafeRawBufferPointer) -> Bool {
    let word = Array(word.utf8)
    guard let first = word.first, script.count >= word.count else { return false }
    for start in 0...(script.count - word.count) where lower(script[start]) == first {
      let part = script[start..<(start + word.count)]
      if zip(part, word).allSatisfy({ lower($0) == $1 }) { return true }
    }
    return false
  }

  private static func lower(_ byte: UInt8) -> UInt8 { (0x41...0x5a).contains(byte) ? byte | 0x20 : byte }
}
