// The bytes of a capture file on their way to libpcap: where they come from, how many, and what they say beside the packets.
import CaptureSystem
import Glibc
import TapWire

/// The source of a capture file: a file, or stdin.
final class CaptureInput {
  private static let bufferBytes = 256 << 10

  private let descriptor: Int32
  /// The file's length; nil for a pipe.
  let sizeBytes: UInt64?
  /// What libpcap has been given so far.
  private(set) var readBytes: UInt64 = 0
  /// Follows the blocks of a pcapng file.
  var blocks = PacketBlocks()
  /// Why reading failed, as errno.
  private(set) var failure: Int32?
  /// Called before a read that has to wait: what is ready can go out.
  var beforeWaiting: (() -> Void)?

  /// `-` is stdin. Throws errno.
  init(path: String) throws(SystemError) {
    descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
    var status = stat()
    guard descriptor >= 0, fstat(descriptor, &status) == 0 else { throw SystemError(code: errno) }
    sizeBytes = status.st_mode & S_IFMT == S_IFREG ? UInt64(max(0, status.st_size)) : nil
  }

  deinit {
    if descriptor > STDIN_FILENO { close(descriptor) }
  }

  struct SystemError: Error {
    let code: Int32
  }

  /// A stream for libpcap, which must not outlive this object.
  func stream() -> UnsafeMutablePointer<FILE>? {
    tap_open_reader(
      Unmanaged.passUnretained(self).toOpaque(),
      { context, buffer, length in
        guard let context, let buffer else { return -1 }
        let input = Unmanaged<CaptureInput>.fromOpaque(context).takeUnretainedValue()
        return input.read(into: UnsafeMutableRawBufferPointer(start: buffer, count: length))
      }, CaptureInput.bufferBytes)
  }

  private func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    while CaptureSignals.stopRequest.load(ordering: .relaxed) == 0 {
      if sizeBytes == nil, let beforeWaiting {
        var ready = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        if poll(&ready, 1, 0) == 0 { beforeWaiting() }
      }
      let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
      if count >= 0 {
        readBytes += UInt64(count)
        blocks.pass(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        return count
      }
      if errno != EINTR {
        failure = errno
        return -1
      }
    }
    return 0
  }
}
