// --hash-keys: keys as hashes that only who has the salt can compute, so that they stay comparable and cannot be guessed.
import CLibsodium
import Glibc
import TapWire

/// The secret with which keys are hashed.
struct KeySalt: Sendable {
  /// Enough that nobody tries all; a longer one is a mistake about the file.
  private static let sizeRange = 16...4096
  private let bytes: [UInt8]

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
    bytes = content
  }

  /// `hash:` and the first 128 bits of HMAC-SHA-256 (RFC 2104, RFC 6234) in hexadecimal digits.
  func hash(_ key: UnsafeRawBufferPointer) -> String {
    var state = crypto_auth_hmacsha256_state()
    var code = [UInt8](repeating: 0, count: Int(crypto_auth_hmacsha256_BYTES))
    // They fail for no input (libsodium's documentation: they always return 0).
    crypto_auth_hmacsha256_init(&state, bytes, bytes.count)
    crypto_auth_hmacsha256_update(&state, key.bindMemory(to: UInt8.self).baseAddress, UInt64(key.count))
    crypto_auth_hmacsha256_final(&state, &code)
    let digits = Array("0123456789abcdef".utf8)
    return "hash:"
      + String(decoding: code.prefix(16).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}
