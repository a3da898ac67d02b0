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
    var rule = SecretRule(command: command, argumentCount: count)
    for index in 0..<count {
      guard let item = try? reader.readItem() else { return false }
      if rule.isSecret(item, at: index) { output.appendText(mask) } else { output.append(item) }
    }
    return true
  }
}
