// Passwords are replaced before a request is kept anywhere that could let it out.
import TapWire

enum Secrets {
  /// What stands in a secret's place.
  static let mask: StaticString = "(redacted)"

  /// Replaces the secrets in a request map, the last message of `writer`.
  static func redact(_ writer: inout MessageWriter) {
    let message = Array(writer.bytes.bytes[writer.messageStart...])
    var redacted = ByteBuffer(capacityBytes: message.count + 64)
    let isWhole = message.withUnsafeBytes { rewrite($0, into: &redacted) }
    writer.bytes.truncate(to: writer.messageStart)
    // A request that cannot be understood here is not let out at all.
    if isWhole { writer.bytes.append(redacted.bytes) } else { writer.bytes.append(fallback.bytes) }
  }

  private static var fallback: ByteBuffer {
    var buffer = ByteBuffer(capacityBytes: 64)
    buffer.appendMapHead(2)
    buffer.appendText("command" as StaticString)
    buffer.appendText(mask)
    buffer.appendText("args" as StaticString)
    buffer.appendArrayHead(0)
    return buffer
  }

  /// Copies the map with secret arguments replaced; false where the map is not of the form that is expected.
  private static func rewrite(_ message: UnsafeRawBufferPointer, into output: inout ByteBuffer) -> Bool {
    var reader = CBORReader(message, streamOffset: 0)
    guard (try? reader.readMapHead()) == 2, (try? reader.readItem()) != nil, let command = try? reader.readText(),
      (try? reader.readItem()) != nil
    else { return false }
    let argsStart = message.count - reader.rest.count
    // An array, or a mark of a cut one: tag [full length, array].
    if (try? reader.peekHead())?.major == .tag {
      guard (try? reader.readHead()) != nil, (try? reader.readArrayHead()) != nil, (try? reader.readItem()) != nil
      else {
        return false
      }
    }
    guard let count = try? reader.readArrayHead() else { return false }
    output.append(UnsafeRawBufferPointer(rebasing: message[..<argsStart]))
    output.append(UnsafeRawBufferPointer(rebasing: message[argsStart..<(message.count - reader.rest.count)]))
    var rule = Rule(command: command, argumentCount: count)
    var isCertain = true
    for index in 0..<count {
      guard let head = try? reader.peekHead(), let item = try? reader.readItem() else { return false }
      if rule.isSecret(item, at: index) || !isCertain { output.appendText(mask) } else { output.append(item) }
      // What follows a word that is not whole may be anything.
      if head.major == .tag { isCertain = false }
    }
    return true
  }

  /// Behind these words redis-server repeats arguments: of a command that it does not know, and of ACL SETUSER.
  private static let echoes = ["with args beginning with", "ACL SETUSER modifier"].map { Array($0.utf8) }

  /// Errors can repeat the arguments of a command that the server did not know or that was wrong: returns the response map
  /// without them, or nil where it has none. Errors inside of aggregates are those of a transaction or a script.
  static func redactedErrors(_ response: UnsafeRawBufferPointer, isError: Bool) -> ByteBuffer? {
    var reader = CBORReader(response, streamOffset: 0)
    var redacted = ByteBuffer(capacityBytes: 16)
    var copied = 0
    var isErrorText = isError
    while !reader.isAtEnd {
      let start = response.count - reader.rest.count
      guard let head = try? reader.readHead() else { break }
      guard head.major == .textString || head.major == .byteString else {
        isErrorText = isError || head.major == .tag && head.argument == WireTag.error
        continue
      }
      guard let text = try? reader.readPayload(of: head) else { break }
      if isErrorText, let end = endOfEcho(in: text) {
        redacted.append(UnsafeRawBufferPointer(rebasing: response[copied..<start]))
        redacted.appendString(
          Array(text[..<end]) + Array(": ".utf8)
            + UnsafeBufferPointer(start: mask.utf8Start, count: mask.utf8CodeUnitCount))
        copied = response.count - reader.rest.count
      }
      isErrorText = isError
    }
    guard copied > 0 else { return nil }
    redacted.append(UnsafeRawBufferPointer(rebasing: response[copied...]))
    return redacted
  }

  /// Where the words end behind which arguments follow; nil where there are none.
  private static func endOfEcho(in text: UnsafeRawBufferPointer) -> Int? {
    for echo in echoes where text.count > echo.count {
      for start in 0...(text.count - echo.count) where text[start] == echo[0] {
        let end = start + echo.count
        if text[start..<end].elementsEqual(echo) { return end }
      }
    }
    return nil
  }
}

/// Which arguments of one command are secret, asked in order.
private struct Rule {
  let command: String
  let argumentCount: Int
  /// The arguments so far that decide about those that follow, in upper case.
  private var subcommand = ""
  private var secretsToCome = 0
  private var plainBefore = 0

  /// Parameters of CONFIG SET whose values are secrets.
  private static let secretParameters: Set<String> = [
    "REQUIREPASS", "MASTERAUTH", "PRIMARYAUTH", "TLS-KEY-FILE-PASS", "TLS-CLIENT-KEY-FILE-PASS",
  ]

  init(command: String, argumentCount: Int) {
    self.command = command
    self.argumentCount = argumentCount
  }

  mutating func isSecret(_ item: UnsafeRawBufferPointer, at index: Int) -> Bool {
    let text = Rule.text(item)
    let upper = text.uppercased()
    if index == 0 { subcommand = upper }
    if secretsToCome > 0 {
      if plainBefore > 0 {
        plainBefore -= 1
        return false
      }
      secretsToCome -= 1
      return true
    }
    switch command {
    case "AUTH":
      // AUTH password, or AUTH username password; of anything else nobody knows what is what.
      return argumentCount != 2 || index > 0
    case "HELLO":
      if upper == "AUTH" { expect(secrets: 1, after: 1) }
    case "CONFIG":
      if subcommand == "SET", index > 0, Rule.secretParameters.contains(upper) { expect(secrets: 1, after: 0) }
    case "SENTINEL":
      if upper == "AUTH-PASS" || upper == "SENTINEL-PASS" { expect(secrets: 1, after: 0) }
    case "ACL":
      // Rules of ACL SETUSER: >password, <password, #hash, !hash.
      return subcommand == "SETUSER" && index > 1 && [">", "<", "#", "!"].contains(String(text.prefix(1)))
    case "MIGRATE":
      if upper == "AUTH" { expect(secrets: 1, after: 0) }
      if upper == "AUTH2" { expect(secrets: 1, after: 1) }
    default:
      break
    }
    return false
  }

  private mutating func expect(secrets: Int, after plain: Int) {
    secretsToCome = secrets
    plainBefore = plain
  }

  /// An argument's text; what is cut tells by its beginning.
  private static func text(_ item: UnsafeRawBufferPointer) -> String {
    var reader = CBORReader(item, streamOffset: 0)
    if (try? reader.peekHead())?.major == .tag {
      guard (try? reader.readHead()) != nil, (try? reader.readArrayHead()) != nil, (try? reader.readItem()) != nil
      else {
        return ""
      }
    }
    guard let string = try? reader.readString() else { return "" }
    return String(decoding: string.prefix(256), as: UTF8.self)
  }
}
