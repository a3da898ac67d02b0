// A process as its frame tells it: a map with the names that the JSON output shows.
import Glibc
import TapWire

/// User names by number, each looked up once: name services can be slow.
struct UserNames {
  private var names: [UInt32: String?] = [:]

  mutating func name(of uid: UInt32) -> String? {
    if let known = names[uid] { return known }
    // A long-running capture on a machine with many users must not grow for ever.
    if names.count >= 4096 { names.removeAll() }
    let name = getpwuid(uid).map { String(cString: $0.pointee.pw_name) }
    names[uid] = .some(name)
    return name
  }
}

/// What a process frame says beside the process's own fields.
struct ProcessSurroundings {
  var parentComm: [UInt8]?
  var user: String?
  var cgroup: [UInt8]?
}

extension ByteBuffer {
  mutating func appendProcess(_ process: KnownProcess, id: UInt64, _ surroundings: ProcessSurroundings) {
    appendFrame(.process, fields: 2) { output in
      output.appendUnsigned(id)
      let optional = [
        process.parent != 0, !process.comm.isEmpty, !process.exe.isEmpty, process.isExeCut,
        !process.commandLine.isEmpty, process.isCommandLineCut, process.uid != nil, surroundings.user != nil,
        surroundings.cgroup != nil,
      ]
      output.appendMapHead(2 + optional.count { $0 })
      output.appendText("pid" as StaticString)
      output.appendUnsigned(UInt64(process.pid))
      output.appendText("start_time" as StaticString)
      output.appendUnsigned(process.startNanoseconds)
      if process.parent != 0 { output.appendParent(process.parent, surroundings.parentComm) }
      if !process.comm.isEmpty { output.appendField("comm", process.comm) }
      if !process.exe.isEmpty { output.appendField("exe", process.exe) }
      if process.isExeCut { output.appendFlag("exe_cut") }
      if !process.commandLine.isEmpty { output.appendCommandLine(process.commandLine) }
      if process.isCommandLineCut { output.appendFlag("command_line_cut") }
      if let uid = process.uid {
        output.appendText("uid" as StaticString)
        output.appendUnsigned(UInt64(uid))
      }
      if let user = surroundings.user { output.appendField("user", Array(user.utf8)) }
      if let cgroup = surroundings.cgroup { output.appendField("cgroup", cgroup) }
    }
  }

  private mutating func appendParent(_ pid: Int32, _ comm: [UInt8]?) {
    appendText("parent" as StaticString)
    appendMapHead(comm == nil ? 1 : 2)
    appendText("pid" as StaticString)
    appendUnsigned(UInt64(pid))
    if let comm { appendField("comm", comm) }
  }

  private mutating func appendCommandLine(_ commandLine: [UInt8]) {
    let arguments = SecretMask.masking(splitArguments(commandLine))
    appendText("command_line" as StaticString)
    appendArrayHead(arguments.count)
    for argument in arguments { appendString(argument) }
  }

  private mutating func appendField(_ name: StaticString, _ value: [UInt8]) {
    appendText(name)
    appendString(value)
  }

  private mutating func appendFlag(_ name: StaticString) {
    appendText(name)
    appendBool(true)
  }
}

/// The path in the unified hierarchy (`0::/…`), or else in that of systemd; nil if /proc does not tell.
func cgroupPath(parsing content: [UInt8]) -> [UInt8]? {
  let lines = content.split(separator: UInt8(ascii: "\n")).map(Array.init)
  for prefix in ["0::", "1:name=systemd:"] {
    if let line = lines.first(where: { $0.starts(with: Array(prefix.utf8)) }) {
      return Array(line.dropFirst(prefix.utf8.count))
    }
  }
  return nil
}
