// A control group of the unified hierarchy (cgroup v2), the only one that the kernel program can look into.
import Glibc
import TapWire

struct Cgroup: Equatable {
  /// Its folder below the mount of the hierarchy.
  var folder: String

  /// `path` is a folder, or a path inside the hierarchy as /proc/PID/cgroup and the JSON output show it.
  init(path: String) throws(CaptureFailure) {
    guard let root = Cgroup.mount(parsing: readFile("/proc/self/mountinfo") ?? []) else {
      throw CaptureFailure(
        "no unified control group hierarchy (cgroup2) is mounted here",
        remedy: "Mount it (mount -t cgroup2 none /sys/fs/cgroup), or choose with --pid.", status: .usage)
    }
    for candidate in [path, root + (path.hasPrefix("/") ? path : "/" + path)] where Cgroup.isUnified(candidate) {
      folder = candidate
      return
    }
    throw CaptureFailure(
      "there is no control group \(path) in the unified hierarchy at \(root)",
      remedy: "--cgroup takes a folder there, or a path as in the line 0:: of /proc/PID/cgroup.", status: .usage)
  }

  /// Only groups of version 2 have this file.
  private static func isUnified(_ folder: String) -> Bool { access(folder + "/cgroup.controllers", F_OK) == 0 }

  /// Where it is mounted: `… /sys/fs/cgroup rw,… - cgroup2 cgroup2 rw` (proc_pid_mountinfo(5)).
  static func mount(parsing table: [UInt8]) -> String? {
    for line in String(decoding: table, as: UTF8.self).split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard let separator = fields.firstIndex(of: "-"), separator + 1 < fields.count, separator > 4,
        fields[separator + 1] == "cgroup2"
      else { continue }
      return String(fields[4])
    }
    return nil
  }
}
