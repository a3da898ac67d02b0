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
    if frame.encoded.count >= Output.flushThresholdBytes {
      flush()
      write(frame.encoded)
    } else {
      buffer.append(frame.encoded)
      endRecord()
    }
  }

  /// Writes everything that is ready.
  @inline(never)
  public mutating func flush() {
    guard !buffer.isEmpty else { return }
    write(buffer.bytes)
    buffer.removeAll()
    buffer.shrink(toCapacityBytes: 4 * Output.flushThresholdBytes)
  }

  @usableFromInline
  mutating func write(_ bytes: UnsafeRawBufferPointer) {
    var rest = bytes
    while failure == nil, let start = rest.baseAddress, rest.count > 0 {
      let written = Glibc.write(descriptor, start, rest.count)
      if written >= 0 {
        writtenBytes &+= UInt64(written)
        rest = UnsafeRawBufferPointer(rebasing: rest[written...])
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
  }
}

/// Pipes between stages hold 1 MiB where the kernel allows it: fewer switches between them under load.
func enlargePipe(_ descriptor: Int32) {
  let setPipeSize = Int32(1024 + 7)  // F_SETPIPE_SZ of <fcntl.h>, which Glibc's module does not show
  // Refused above /proc/sys/fs/pipe-max-size and for what is no pipe: both are fine.
  _ = fcntl(descriptor, setPipeSize, 1 << 20)
}
