// Filters as the kernel program needs them: names become numbers. What cannot match anything is an error, not silence.
import Glibc
import TapWire

/// The name of a process as the kernel keeps it.
struct ProcessName: Equatable {
  /// TASK_COMM_LEN without the NUL.
  static let bytesMaximum = 15
  var bytes: [UInt8]
}

/// What to capture.
struct ResolvedFilters: Equatable {
  /// None: all.
  var protocols: [FilterProtocol] = []
  var ports: [UInt16] = []
  var direction = CaptureDirection.all
  var skipsLoopback = false
  /// Processes whose trees are captured.
  var processes: [Int32] = []
  var comms: [ProcessName] = []
  var programs: [ProgramFile] = []
  /// Effective users.
  var users: [UInt32] = []
  var cgroups: [Cgroup] = []
  var containers = ContainerFilter()

  init() {}

  /// Looks at this machine as it is now.
  init(_ options: FilterOptions) throws(CaptureFailure) {
    protocols = options.protocols
    ports = options.port
    direction = options.direction
    skipsLoopback = options.noLoopback
    comms = options.comm
    for pid in options.pid { processes.append(try ResolvedFilters.running(pid)) }
    for path in options.exe { programs.append(try ProgramFile(path: path)) }
    for user in options.uid { users.append(try ResolvedFilters.user(user)) }
    for path in options.cgroup { cgroups.append(try Cgroup(path: path)) }
    containers = ContainerFilter(containers: options.container, pods: options.pod, namespaces: options.namespace)
  }

  private static func running(_ pid: Int32) throws(CaptureFailure) -> Int32 {
    guard kill(pid, 0) == 0 || errno != ESRCH else {
      throw CaptureFailure(
        "there is no process \(pid)", remedy: "--pid takes the number of a running process; see ps -e.",
        status: .usage)
    }
    // The kernel takes the number of a thread for that of its process.
    let numbers = ProcessNumbers(parsing: readFile("/proc/\(pid)/status") ?? [])
    if let process = numbers.threadGroup, process != pid {
      throw CaptureFailure(
        "\(pid) is a thread of process \(process)", remedy: "Choose the process with --pid \(process).", status: .usage)
    }
    return pid
  }

  /// A number need not have a name: containers have users of their own.
  private static func user(_ text: String) throws(CaptureFailure) -> UInt32 {
    if let number = UInt32(text) { return number }
    guard let entry = getpwnam(text) else {
      throw CaptureFailure(
        "there is no user '\(text)'", remedy: "--uid takes a name or a number; see getent passwd.", status: .usage)
    }
    return entry.pointee.pw_uid
  }
}
