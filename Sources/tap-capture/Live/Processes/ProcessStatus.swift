// What /proc/PID tells of a process: for those that began before the capture, or whose beginning was lost.

/// Fields of /proc/PID/stat (proc_pid_stat(5)).
struct ProcessStatus: Equatable {
  var comm: [UInt8]
  var parent: Int32
  /// When it began, in clock ticks (hundredths of a second) since boot: field 22.
  var startTicks: UInt64

  init?(parsing content: [UInt8]) {
    // The name stands in parentheses and may hold any byte, parentheses and blanks too: it ends at the last one.
    guard let open = content.firstIndex(of: UInt8(ascii: "(")), let close = content.lastIndex(of: UInt8(ascii: ")")),
      open < close
    else { return nil }
    comm = Array(content[(open + 1)..<close])
    let fields = content[(close + 1)...].split(separator: UInt8(ascii: " "))
    // fields[0] is field 3.
    guard fields.count > 19, let parent = Int32(String(decoding: fields[1], as: UTF8.self)),
      let startTicks = UInt64(String(decoding: fields[19], as: UTF8.self))
    else { return nil }
    self.parent = parent
    self.startTicks = startTicks
  }

  static func read(_ pid: Int32) -> ProcessStatus? {
    readFile("/proc/\(pid)/stat").flatMap(ProcessStatus.init(parsing:))
  }
}

/// Numbers of /proc/PID/status (proc_pid_status(5)).
struct ProcessNumbers: Equatable {
  /// The process, which is another number where the file is that of a thread.
  var threadGroup: UInt32?
  /// Effective user and group.
  var uid: UInt32?
  var gid: UInt32?
  /// What the process is called in its own pid namespace.
  var namespacePID: UInt32?

  init(parsing content: [UInt8]) {
    for line in content.split(separator: UInt8(ascii: "\n")) {
      let words = line.split { $0 == UInt8(ascii: "\t") || $0 == UInt8(ascii: " ") }
      func number(_ word: ArraySlice<UInt8>?) -> UInt32? {
        word.flatMap { UInt32(String(decoding: $0, as: UTF8.self)) }
      }
      guard words.count > 1, let name = words.first else { continue }
      if name.elementsEqual("Tgid:".utf8) { threadGroup = number(words[1]) }
      if name.elementsEqual("Uid:".utf8), words.count > 2 { uid = number(words[2]) }
      if name.elementsEqual("Gid:".utf8), words.count > 2 { gid = number(words[2]) }
      // One for each namespace, its own last.
      if name.elementsEqual("NSpid:".utf8) { namespacePID = number(words.last) }
    }
  }
}

/// The arguments in a command line as the kernel keeps it: each ended by a NUL.
func splitArguments(_ commandLine: [UInt8]) -> [[UInt8]] {
  var arguments = commandLine.split(separator: 0, omittingEmptySubsequences: false).map(Array.init)
  // A title set by the program itself is padded with NULs.
  while arguments.last?.isEmpty == true { arguments.removeLast() }
  return arguments
}

/// The paths of a program's file from the links /proc/PID/exe and /proc/PID/root (proc_pid_exe(5)): as its process sees it, and
/// as this machine does where that is another one.
func programPaths(exe: [UInt8], root: [UInt8]) -> (seen: [UInt8], host: [UInt8]?) {
  let mark = Array(" (deleted)".utf8)
  let path = exe.suffix(mark.count).elementsEqual(mark) ? Array(exe.dropLast(mark.count)) : exe
  guard root.count > 1, path.starts(with: root), path.dropFirst(root.count).first == UInt8(ascii: "/") else {
    return (path, nil)
  }
  return (Array(path.dropFirst(root.count)), path)
}
