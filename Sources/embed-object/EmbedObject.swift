// Turns the compiled kernel program into Swift source, so that the executable carries it.
//
// The bytes become the scalars U+0000…U+00FF of one string literal: an array literal of this size takes the compiler
// seconds, a string literal nothing.
import Glibc

@main
struct EmbedObject {
  static func main() {
    let arguments = CommandLine.arguments
    guard arguments.count == 3, let object = read(arguments[1]) else { fail("usage: embed-object OBJECT SOURCE") }
    var source = """
      // Made by embed-object from the compiled kernel program.

      /// The kernel program's ELF object; each scalar is one byte.
      let kernelProgramImage: StaticString = "
      """
    source.reserveCapacity(object.count * 4)
    for byte in object { source += literal(byte) }
    source += "\"\n"
    // Debug and release builds share this file; written without need, each would make the other compile again.
    if let existing = read(arguments[2]), existing.elementsEqual(source.utf8) { return }
    guard write(source, to: arguments[2]) else { fail("cannot write \(arguments[2])") }
  }

  static func literal(_ byte: UInt8) -> String {
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"): "\\" + String(UnicodeScalar(byte))
    case 0: "\\0"
    case 0x20..<0x7f: String(UnicodeScalar(byte))
    default: "\\u{\(String(byte, radix: 16))}"
    }
  }

  static func read(_ path: String) -> [UInt8]? {
    guard let file = fopen(path, "rb") else { return nil }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
    return ferror(file) == 0 ? bytes : nil
  }

  static func write(_ source: String, to path: String) -> Bool {
    guard let file = fopen(path, "wb") else { return false }
    let written = fputs(source, file) >= 0
    return fclose(file) == 0 && written
  }

  static func fail(_ message: String) -> Never {
    var text = "embed-object: \(message)\n"
    text.withUTF8 { _ = Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    exit(1)
  }
}
