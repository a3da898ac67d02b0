// The way out of a stage: buffered, flushed when 64 KiB are ready or input runs dry, and honest about a closed pipe.
import Glibc

/// Why a stage cannot go on.
public enum StageFailure: Error {
  case malformed(WireError)
  /// A system call on stdin or stdout failed.
  case system(operation: String, errno: Int32)
  /// The reader of stdout is gone: success, there is nobody left to work for.
  case closedPipe
}

/// Buffered output to a file descriptor.
///
/// Writing does not throw: the first failure is kept in `failure`, what follows is dropped, and the loop of the stage
/// looks at it after each frame.
public struct Output: ~Copyable {
  /// Bytes that are ready at which they are written.
  public static let flushThresholdBytes = 64 << 10

  /// Append here, then call `endRecord`.
  public var buffer: ByteBuffer
  public private(set) var failure: StageFailure?
  /// Bytes handed to the kernel so far.
  public private(set) var writtenBytes: UInt64 = 0
  let descriptor: Int32

  public init(descriptor: Int32) {
    self.descriptor = descriptor
    buffer = ByteBuffer(capacityBytes: 4 * Output.flushThresholdBytes)
    enlargePipe(descriptor)
  }

  /// Must be called after each whole record: writes when enough is ready.
  @inlinable
  public mutating func endRecord() {
    if buffer.count >= Output.flushThresholdBytes { flush() }
  }

  /// Passes a frame on unchanged.
  @inlinable
  public mutating func forward(_ frame: Frame) {
    append(frame.encoded)
    endRecord()
  }

  /// Appends bytes, which go to the kernel at once and from where they lie if they are many.
  @inlinable
  mutating func append(_ bytes: UnsafeRawBufferPointer) {
    if bytes.count >= Output.flushThresholdBytes { writeOut(with: bytes) } else { buffer.append(bytes) }
  }

  /// Writes everything that is ready.
  @inline(never)
  public mutating func flush() {
    if !buffer.isEmpty { writeOut(with: UnsafeRawBufferPointer(start: nil, count: 0)) }
  }

  /// Writes everything that is ready, and `bytes` behind it: one system call, unless the kernel takes less.
  @usableFromInline
  @inline(never)
  mutating func writeOut(with bytes: UnsafeRawBufferPointer) {
    var ready = buffer.bytes
    var rest = bytes
    while failure == nil, !ready.isEmpty || !rest.isEmpty {
      let parts = (Output.part(ready), Output.part(rest))
      let written = withUnsafeBytes(of: parts) {
        writev(descriptor, $0.assumingMemoryBound(to: iovec.self).baseAddress, 2)
      }
      if written >= 0 {
        writtenBytes &+= UInt64(written)
        let ofReady = min(written, ready.count)
        ready = UnsafeRawBufferPointer(rebasing: ready[ofReady...])
        rest = UnsafeRawBufferPointer(rebasing: rest[(written - ofReady)...])
      } else if errno == EAGAIN {
        // Somebody else made the shared descriptor non-blocking: wait for room instead of losing data.
        var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        poll(&waiting, 1, -1)
      } else if errno == EPIPE {
        failure = .closedPipe
      } else if errno != EINTR {
        failure = .system(operation: "writing to stdout", errno: errno)
      }
    }
    buffer.removeAll()
    buffer.shrink(toCapacityBytes: 4 * Output.flushThresholdBytes)
  }

  private static func part(_ bytes: UnsafeRawBufferPointer) -> iovec {
    iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
  }
}

/// Pipes between stages hold 1 MiB where the kernel allows it: fewer switches between them under load.
func enlargePipe(_ descriptor: Int32) {
  let setPipeSize = Int32(1024 + 7)  // F_SETPIPE_SZ of <fcntl.h>, which Glibc's module does not show
  // Refused above /proc/sys/fs/pipe-max-size and for what is no pipe: both are fine.
  _ = fcntl(descriptor, setPipeSize, 1 << 20)
}
