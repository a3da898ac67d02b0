// The file of a program, as the kernel identifies it: the name that a process sees may be another one.
import Glibc
import TapWire

/// A file by its inode. A program that was replaced on disk while it runs is another file than its successor.
struct ProgramFile: Equatable {
  var path: String
  var inode: UInt64
  /// Of the file's superblock, as the kernel keeps it: major << 20 | minor.
  var device: UInt32

  init(path: String) throws(CaptureFailure) {
    self.path = path
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | ProgramFile.pathOnly)
    guard descriptor >= 0 else {
      throw CaptureFailure(
        "there is no program \(path): \(errorText(errno))", remedy: ProgramFile.remedy, status: .usage)
    }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      throw CaptureFailure(
        "\(path) is not a regular file, so no process can run it", remedy: ProgramFile.remedy, status: .usage)
    }
    inode = UInt64(status.st_ino)
    device = ProgramFile.superblockDevice(of: descriptor) ?? ProgramFile.kernelNumber(status.st_dev)
  }

  private static let remedy = "--exe takes the path of a program's file, as in /proc/PID/exe."
  /// O_PATH of <fcntl.h>: no right to read is needed.
  private static let pathOnly: Int32 = 0x20_0000

  /// What the mount table says. stat(2) gives other numbers on file systems with subvolumes.
  private static func superblockDevice(of descriptor: Int32) -> UInt32? {
    guard let about = readFile("/proc/self/fdinfo/\(descriptor)"), let mounts = readFile("/proc/self/mountinfo"),
      let mount = String(decoding: about, as: UTF8.self).split(separator: "\n").first(where: { $0.hasPrefix("mnt_id:") }
      )
    else { return nil }
    return superblockDevice(ofMount: mount.dropFirst(7).drop { $0.isWhitespace }, inMountTable: mounts)
  }

  /// `36 35 98:0 /mnt1 /mnt2 …` (proc_pid_mountinfo(5)): the mount's number, its parent's, the device.
  static func superblockDevice(ofMount mount: Substring, inMountTable table: [UInt8]) -> UInt32? {
    for line in String(decoding: table, as: UTF8.self).split(separator: "\n") {
      let fields = line.split(separator: " ", maxSplits: 3)
      guard fields.count > 2, fields[0] == mount else { continue }
      let numbers = fields[2].split(separator: ":").compactMap { UInt32($0) }
      return numbers.count == 2 ? numbers[0] << 20 | numbers[1] : nil
    }
    return nil
  }

  /// From the form that the C library gives (gnu_dev_makedev(3)).
  private static func kernelNumber(_ device: dev_t) -> UInt32 {
    let major = UInt32(truncatingIfNeeded: device >> 8 & 0xfff)
    let minor = UInt32(truncatingIfNeeded: device & 0xff | device >> 12 & 0xfff00)
    return major << 20 | minor
  }
}
