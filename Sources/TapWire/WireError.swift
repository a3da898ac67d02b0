// What can be wrong with a TapWire stream, always with the byte offset at which it was found.

/// Malformed input of a stage.
public struct WireError: Error, Equatable, Sendable {
  /// Position in the input stream, in bytes from its beginning, of the item that broke the rule.
  public let offset: UInt64
  /// What the format asks for at that position.
  public let expected: String
  /// What stands there.
  public let found: String
  /// Not an error of the writer: the frame must be read again with its lengths made definite (`CBORNormalizer`).
  var isIndefiniteLength = false

  public init(offset: UInt64, expected: String, found: String) {
    self.offset = offset
    self.expected = expected
    self.found = found
  }

  /// One line for a person.
  public var message: String { "malformed TapWire at byte \(offset): expected \(expected), found \(found)" }
}
