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
    descriptor = Glibc.open("/proc/\(pid)/root", O_DIRECTORY | O_CLOEXEC | ForeignRoot.pathOnly)
    guard descriptor >= 0 else { return nil }
  }

  deinit { close(descriptor) }

  /// Whether both processes have the same root.
  func isSame(as other: borrowing ForeignRoot) -> Bool {
    var own = stat()
    var others = stat()
    return fstat(descriptor, &own) == 0 && fstat(other.descriptor, &others) == 0 && own.st_dev == others.st_dev
      && own.st_ino == others.st_ino
  }

  /// Opens a regular file; nil if it is none, cannot be opened, or is longer than `limitBytes`.
  func open(_ path: String, limitBytes: Int) -> ForeignFile? {
    guard let file = ForeignFile(descriptor: tap_open_inside(descriptor, path)), file.stamp.sizeBytes <= limitBytes
    else { return nil }
    return file
  }

  /// All that a short file holds.
  func content(_ path: String, limitBytes: Int) -> [UInt8]? {
    guard let file = open(path, limitBytes: limitBytes) else { return nil }
    return readContent(of: file.descriptor, limitBytes: limitBytes)
  }

  /// The stamp that the file has now.
  func stamp(_ path: String) -> FileStamp? { ForeignFile(descriptor: tap_open_inside(descriptor, path))?.stamp }
}

/// An open file of a stranger.
struct ForeignFile: ~Copyable {
  let descriptor: Int32
  let stamp: FileStamp

  fileprivate init?(descriptor: Int32) {
    guard descriptor >= 0 else { return nil }
    guard let stamp = FileStamp(descriptor: descriptor) else {
      close(descriptor)
      return nil
    }
    self.descriptor = descriptor
    self.stamp = stamp
  }

  deinit { close(descriptor) }
}
