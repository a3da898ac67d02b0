// Files as another process sees them: a runtime may run in a container itself, and a container's files are a stranger's.
import CaptureSystem
import Glibc

/// What a file was when it was read: another value means that it was written or replaced since.
struct FileStamp: Equatable, Sendable {
  var inode: UInt64
  var sizeBytes: Int64
  var modifiedSeconds: Int
  var modifiedNanoseconds: Int

  fileprivate init?(descriptor: Int32) {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { return nil }
    inode = UInt64(status.st_ino)
    sizeBytes = Int64(status.st_size)
    modifiedSeconds = status.st_mtim.tv_sec
    modifiedNanoseconds = status.st_mtim.tv_nsec
  }
}

/// The root folder of a process, with what is mounted there for it.
struct ForeignRoot: ~Copyable {
  private let descriptor: Int32

  /// O_PATH of <fcntl.h>.
  private static let pathOnly: Int32 = 0x20_0000

  /// Fails where the process is gone, or may not be looked at.
  init?(of pid: Int32) {
    descriptor = open("/proc/\(pid)/root", O_DIRECTORY | O_CLOEXEC | ForeignRoot.pathOnly)
    guard descriptor >= 0 else { return nil }
  }

  deinit { close(descriptor) }

  /// A regular file's content with its stamp; nil if it is none, cannot be read, or is longer than `limitBytes`.
  func read(_ path: String, limitBytes: Int) -> (content: [UInt8], stamp: FileStamp)? {
    let file = tap_open_inside(descriptor, path)
    guard file >= 0 else { return nil }
    defer { close(file) }
    guard let stamp = FileStamp(descriptor: file), stamp.sizeBytes <= limitBytes,
      let content = readContent(of: file, limitBytes: limitBytes + 1), content.count <= limitBytes
    else { return nil }
    return (content, stamp)
  }

  /// The stamp that the file has now.
  func stamp(_ path: String) -> FileStamp? {
    let file = tap_open_inside(descriptor, path)
    guard file >= 0 else { return nil }
    defer { close(file) }
    return FileStamp(descriptor: file)
  }
}
