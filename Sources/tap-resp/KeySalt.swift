// --hash-keys: keys as hashes that only who has the salt can compute, so that they stay comparable and cannot be guessed.
import CLibsodium
import Glibc
import TapWire

/// The secret with which keys are hashed.
struct KeySalt: Sendable {
  /// Enough that nobody tries all; a longer one is a mistake about the file.
  private static let sizeRange = 16...4096
  private let salted: crypto_auth_hmacsha256_state

  /// Why there is no salt.
  struct Failure: Error {
    let message: String
    let status: ExitStatus
  }

  /// Reads all of a file: never the command line or the environment, which other processes can see.
  init(path: String) throws(Failure) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      let code = errno
      throw Failure(
        message: "cannot open the salt \(path): \(errorText(code)); expected a file that can be read",
        status: code == EACCES || code == EPERM ? .noPermission : .noInput)
    }
    defer { close(descriptor) }
    var content: [UInt8] = []
    // A pipe gives it in pieces.
    while content.count <= KeySalt.sizeRange.upperBound {
      let room = KeySalt.sizeRange.upperBound + 1 - content.count
      let piece = [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
        count = max(0, read(descriptor, buffer.baseAddress, room))
      }
      guard !piece.isEmpty else { break }
      content += piece
    }
    guard KeySalt.sizeRange.contains(content.count) else {
      let found = content.count > KeySalt.sizeRange.upperBound ? "more" : "\(content.count)"
      throw Failure(
        message: "the salt \(path) is of no use; expected \(KeySalt.sizeRange.lowerBound) to "
          + "\(KeySalt.sizeRange.upperBound) bytes, found \(found)",
        status: .badInput)
    }
    var state = crypto_auth_hmacsha256_state()
    crypto_auth_hmacsha256_init(&state, content, content.count)
    salted = state
  }

  /// `hash:` and the first 128 bits of HMAC-SHA-256 (RFC 2104, RFC 6234) in hexadecimal digits.
  func hash(_ key: UnsafeRawBufferPointer) -> String {
    // The salt is taken in once, and its state copied. They fail for no input (libsodium's documentation).
    var state = salted
    var code = [UInt8](repeating: 0, count: Int(crypto_auth_hmacsha256_BYTES))
    crypto_auth_hmacsha256_update(&state, key.bindMemory(to: UInt8.self).baseAddress, UInt64(key.count))
    crypto_auth_hmacsha256_final(&state, &code)
    let shown = KeySalt.prefix.utf8CodeUnitCount
    return String(unsafeUninitializedCapacity: shown + 32) { text in
      _ = text.update(from: UnsafeBufferPointer(start: KeySalt.prefix.utf8Start, count: shown))
      for index in 0..<16 {
        text[shown + 2 * index] = KeySalt.digit(code[index] >> 4)
        text[shown + 2 * index + 1] = KeySalt.digit(code[index] & 15)
      }
      return shown + 32
    }
  }

  private static let prefix: StaticString = "hash:"

  private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }
}
