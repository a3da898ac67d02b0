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
    guard let request = RequestMap(message), let command = request.nameText else { return false }
    output.append(UnsafeRawBufferPointer(rebasing: message[..<request.argumentsStart]))
    var rule = SecretRule(command: command, argumentCount: request.argumentCount)
    var reader = request.arguments
    for index in 0..<request.argumentCount {
      guard let item = try? reader.readItem() else { return false }
      if rule.isSecret(item, at: index) { output.appendText(mask) } else { output.append(item) }
    }
    return true
  }
}
