// Passwords that a server repeats: in errors, in what CONFIG GET and SLOWLOG answer, in the lines of MONITOR.
import TapWire

extension Secrets {
  /// The response map without the secrets in it, or nil where it has none.
  ///
  /// An error can repeat the arguments of a command that the server did not know or that was wrong; inside aggregates it is
  /// one of a transaction. CONFIG GET names parameters, each with its value behind it. ACL LIST and ACL GETUSER show hashes,
  /// which are as good as the passwords to whoever may try them. SLOWLOG repeats commands.
  static func redacted(_ response: UnsafeRawBufferPointer, isError: Bool) -> ByteBuffer? {
    var reader = CBORReader(response, streamOffset: 0)
    var redacted = ByteBuffer(capacityBytes: 16)
    var copied = 0
    var isErrorText = isError
    var isValueNext = false
    var areHashesNext = false
    var hashesToCome: UInt64 = 0
    var logged = LoggedCommand()
    while !reader.isAtEnd {
      let start = response.count - reader.rest.count
      guard let head = try? reader.readHead() else { break }
      guard head.major == .textString || head.major == .byteString else {
        isErrorText = isError || head.major == .tag && head.argument == WireTag.error
        if areHashesNext, head.major == .array { hashesToCome = head.argument }
        areHashesNext = false
        logged.note(head)
        continue
      }
      guard let text = try? reader.readPayload(of: head) else { break }
      let shown: [UInt8]? =
        logged.isSecret(text) || isValueNext && !text.isEmpty || hashesToCome > 0
        ? Array("\(mask)".utf8) : isErrorText ? withoutEcho(text) : withoutHashes(text)
      if let shown {
        redacted.append(UnsafeRawBufferPointer(rebasing: response[copied..<start]))
        redacted.appendString(shown)
        copied = response.count - reader.rest.count
      }
      hashesToCome -= min(hashesToCome, 1)
      areHashesNext = text.elementsEqual("passwords".utf8)
      isValueNext = !isValueNext && isSecretParameter(text)
      isErrorText = isError
    }
    guard copied > 0 else { return nil }
    redacted.append(UnsafeRawBufferPointer(rebasing: response[copied...]))
    return redacted
  }

  /// Behind these words redis-server repeats arguments: of a command that it does not know, and of ACL SETUSER.
  private static let echoes = ["with args beginning with", "ACL SETUSER modifier"].map { Array($0.utf8) }

  /// An error's text without the arguments that it repeats; nil where it repeats none.
  private static func withoutEcho(_ text: UnsafeRawBufferPointer) -> [UInt8]? {
    for echo in echoes where text.count > echo.count {
      for start in 0...(text.count - echo.count) where text[start] == echo[0] {
        let end = start + echo.count
        if text[start..<end].elementsEqual(echo) { return Array(text[..<end]) + Array(": \(mask)".utf8) }
      }
    }
    return nil
  }

  /// A user's rules, `user alice on #5e88… ~*`, without the hashes of passwords; nil where there are none.
  private static func withoutHashes(_ text: UnsafeRawBufferPointer) -> [UInt8]? {
    guard text.starts(with: "user ".utf8) else { return nil }
    let rules = text.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
    func isHash(_ rule: Slice<UnsafeRawBufferPointer>) -> Bool { rule.count == 65 && rule.first == UInt8(ascii: "#") }
    guard rules.contains(where: isHash) else { return nil }
    return Array(rules.map { isHash($0) ? Array("\(mask)".utf8) : Array($0) }.joined(separator: [UInt8(ascii: " ")]))
  }

  /// What answers ACL GENPASS is a new password.
  static func isPasswordAnswer(to request: UnsafeRawBufferPointer) -> Bool {
    guard let request = RequestMap(request) else { return false }
    return request.nameText == "ACL" && request.argument(0)?.uppercased() == "GENPASS"
  }

  private static func isSecretParameter(_ name: UnsafeRawBufferPointer) -> Bool {
    // Most strings are not as long as any of them.
    [10, 11, 17, 24].contains(name.count) && SecretRule.secretParameters.contains(String(decoding: name, as: UTF8.self))
  }

  /// A line of MONITOR without the secrets in it, or nil where it has none: `1339518083.1 [0 addr] "CONFIG" "SET" …`.
  static func redactedMonitorLine(_ response: UnsafeRawBufferPointer) -> ByteBuffer? {
    guard let text = text(of: response) else { return nil }
    let (words, isWhole) = quotedWords(text)
    guard let first = words.first else { return nil }
    let name = String(decoding: first.value.prefix(256), as: UTF8.self).uppercased()
    guard CommandTable.shared.traits(of: CommandName(name)).mayHoldSecrets else { return nil }
    // Of a line that is not whole nobody knows how many arguments there are, nor where they end.
    guard isWhole else {
      return line(text[..<first.range.upperBound] + Array(" \"\(mask)\"".utf8), type: "simple_string")
    }
    var rule = SecretRule(command: name, argumentCount: words.count - 1)
    var shown: [UInt8] = []
    var copied = 0
    for (index, word) in words.dropFirst().enumerated()
    where word.value.withUnsafeBytes({ rule.isSecret(word: $0, at: index) }) {
      shown += text[copied..<word.range.lowerBound] + Array("\"\(mask)\"".utf8)
      copied = word.range.upperBound
    }
    guard copied > 0 else { return nil }
    return line(shown + text[copied...], type: "simple_string")
  }

  /// The words of a MONITOR line behind its address, with the places of their quotes, up to where they are not quoted any more.
  private static func quotedWords(
    _ text: UnsafeRawBufferPointer
  ) -> (words: [(range: Range<Int>, value: [UInt8])], isWhole: Bool) {
    var words: [(range: Range<Int>, value: [UInt8])] = []
    guard var position = MonitorLine.wordsStart(text) else { return (words, false) }
    while position < text.count {
      guard text[position] == UInt8(ascii: "\"") else { return (words, false) }
      var end = position + 1
      while end < text.count, text[end] != UInt8(ascii: "\"") { end += text[end] == UInt8(ascii: "\\") ? 2 : 1 }
      guard end < text.count else { return (words, false) }
      let quoted = UnsafeRawBufferPointer(rebasing: text[position...end])
      guard let value = InlineCommand.split(quoted)?.first else { return (words, false) }
      words.append((position..<(end + 1), value))
      position = end + 2
    }
    return (words, true)
  }

  /// The text of a response that is one line, as far as it is there.
  private static func text(of response: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
    var reader = CBORReader(response, streamOffset: 0)
    guard (try? reader.readMapHead()) == 2, (try? reader.readItem()) != nil, (try? reader.readItem()) != nil,
      (try? reader.readItem()) != nil
    else { return nil }
    reader.skipCutMark()
    return try? reader.readString()
  }

  static func line(_ text: [UInt8], type: StaticString) -> ByteBuffer {
    var response = ByteBuffer(capacityBytes: text.count + 64)
    response.appendMapHead(2)
    response.appendText("response_type" as StaticString)
    response.appendText(type)
    response.appendText("response_value" as StaticString)
    response.appendString(text)
    return response
  }
}
