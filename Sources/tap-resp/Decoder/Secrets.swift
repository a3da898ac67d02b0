// Passwords are replaced before a request is kept anywhere that could let it out.
import TapWire

enum Secrets {
  /// What stands in a secret's place.
  static let mask: StaticString = "(redacted)"

  /// Replaces the secrets in the finished command.
  static func redact(_ commands: inout CommandParser) {
    let message = Array(commands.message)
    var redacted = ByteBuffer(capacityBytes: message.count + 64)
    let damage = commands.damage
    let isWhole =
      damage != .name && message.withUnsafeBytes { rewrite($0, hidingAll: damage != .none, into: &redacted) }
    commands.writer.bytes.truncate(to: commands.writer.messageStart)
    // A request that cannot be understood here is not let out at all.
    if isWhole { commands.writer.bytes.append(redacted.bytes) } else { commands.writer.bytes.append(fallback.bytes) }
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
  private static func rewrite(
    _ message: UnsafeRawBufferPointer, hidingAll: Bool, into output: inout ByteBuffer
  ) -> Bool {
    guard let request = RequestMap(message), let command = request.nameText else { return false }
    output.append(UnsafeRawBufferPointer(rebasing: message[..<request.argumentsStart]))
    var rule = SecretRule(command: command, argumentCount: request.argumentCount)
    var reader = request.arguments
    for index in 0..<request.argumentCount {
      guard let item = try? reader.readItem() else { return false }
      if hidingAll || rule.isSecret(item, at: index) { output.appendText(mask) } else { output.append(item) }
    }
    return true
  }
}
