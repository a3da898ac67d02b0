// A command as a filter names it: with or without its subcommand.
import TapWire

/// `GET`, or `CONFIG SET`: a command whose first argument is that word. Case does not matter.
package struct CommandPattern: Sendable {
  private let name: [UInt8]
  private let subcommand: [UInt8]?

  /// Nil where the text is not one word or two.
  package init?(_ text: String) {
    let words = text.utf8.split(whereSeparator: { $0 == UInt8(ascii: " ") }).map { $0.map(CommandPattern.upper) }
    guard (1...2).contains(words.count) else { return nil }
    name = words[0]
    subcommand = words.count == 2 ? words[1] : nil
  }

  /// `name` is in upper case, as request maps have it. The first argument is only asked for where it matters; nil where there
  /// is none, or it is not whole.
  @inline(__always)
  func matches(_ name: UnsafeRawBufferPointer, firstArgument: () -> UnsafeRawBufferPointer?) -> Bool {
    guard name.count == self.name.count, name.elementsEqual(self.name) else { return false }
    guard let subcommand else { return true }
    guard let argument = firstArgument(), argument.count == subcommand.count else { return false }
    return zip(subcommand, argument).allSatisfy { $0 == CommandPattern.upper($1) }
  }

  private static func upper(_ byte: UInt8) -> UInt8 { (0x61...0x7a).contains(byte) ? byte &- 0x20 : byte }
}
