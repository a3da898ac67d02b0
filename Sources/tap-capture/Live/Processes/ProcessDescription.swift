// A process as its frame tells it: a map with the names that the JSON output shows.
import TapWire

/// What a process frame says beside the process's own fields.
struct ProcessSurroundings {
  /// The names of its parents, the nearest first.
  var ancestors: [[UInt8]] = []
  var user: String?
  var unit: [UInt8]?
  var container: ContainerDescription?
}

extension ByteBuffer {
  mutating func appendProcess(_ process: KnownProcess, id: UInt64, _ surroundings: ProcessSurroundings) {
    appendFrame(.process, fields: 2) { output in
      output.appendUnsigned(id)
      let optional = [
        process.namespacePID != nil, process.parent != 0, !surroundings.ancestors.isEmpty, !process.comm.isEmpty,
        !process.exe.isEmpty, process.isExeCut, process.hostExe != nil,
        !process.commandLine.isEmpty, process.isCommandLineCut, process.uid != nil, process.gid != nil,
        surroundings.user != nil,
        !process.cgroup.isEmpty, surroundings.unit != nil, process.container != nil,
      ]
      output.appendMapHead(2 + optional.count { $0 })
      output.appendText("pid" as StaticString)
      output.appendUnsigned(UInt64(process.pid))
      if let pid = process.namespacePID {
        output.appendText("namespace_pid" as StaticString)
        output.appendUnsigned(UInt64(pid))
      }
      output.appendText("start_time" as StaticString)
      output.appendUnsigned(process.startNanoseconds)
      if process.parent != 0 { output.appendParent(process.parent, surroundings.ancestors.first) }
      if !surroundings.ancestors.isEmpty {
        output.appendText("ancestors" as StaticString)
        output.appendArrayHead(surroundings.ancestors.count)
        for comm in surroundings.ancestors { output.appendString(comm) }
      }
      if !process.comm.isEmpty { output.appendField("comm", process.comm) }
      if !process.exe.isEmpty { output.appendField("exe", process.exe) }
      if process.isExeCut { output.appendFlag("exe_cut") }
      if let path = process.hostExe { output.appendField("host_exe", path) }
      if !process.commandLine.isEmpty { output.appendCommandLine(process.commandLine) }
      if process.isCommandLineCut { output.appendFlag("command_line_cut") }
      if let uid = process.uid {
        output.appendText("uid" as StaticString)
        output.appendUnsigned(UInt64(uid))
      }
      if let gid = process.gid {
        output.appendText("gid" as StaticString)
        output.appendUnsigned(UInt64(gid))
      }
      if let user = surroundings.user { output.appendField("user", Array(user.utf8)) }
      if !process.cgroup.isEmpty { output.appendField("cgroup", process.cgroup) }
      if let unit = surroundings.unit { output.appendField("unit", unit) }
      if let container = process.container { output.appendContainer(container, surroundings.container) }
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

  private mutating func appendContainer(_ identity: ContainerIdentity, _ description: ContainerDescription?) {
    let description = description ?? ContainerDescription(identity)
    let labels = description.labels
    let members: [(StaticString, String?)] = [
      ("id", identity.id), ("name", description.name), ("image", description.image),
      ("image_digest", description.imageDigest), ("runtime", description.runtime?.rawValue), ("pod", description.pod),
      ("pod_uid", description.podUID), ("namespace", description.namespace),
    ]
    appendText("container" as StaticString)
    appendMapHead(
      members.count { $0.1 != nil } + (labels.all.isEmpty ? 0 : 1) + (labels.omitted > 0 ? 1 : 0))
    for case (let name, let value?) in members { appendField(name, Array(value.utf8)) }
    if !labels.all.isEmpty {
      appendText("labels" as StaticString)
      appendMapHead(labels.all.count)
      for label in labels.all {
        appendText(label.name)
        appendText(label.value)
      }
    }
    if labels.omitted > 0 {
      appendText("labels_omitted" as StaticString)
      appendUnsigned(UInt64(labels.omitted))
    }
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
