// Looks at the machine, through /proc, with the eyes of the filters.
import CaptureRecords
import Glibc

extension SilentMachine {
  init(for filters: ResolvedFilters, dismissed: Dismissals) {
    self.dismissed = dismissed
    let trees = filters.processes.isEmpty ? [] : descendants(of: Set(filters.processes), parents: runningParents())
    let inGroups = Set(filters.cgroups.flatMap { members(ofCgroup: $0.folder) })
    for pid in runningProcesses() {
      guard let status = ProcessStatus.read(pid) else { continue }
      var process = Process(pid: pid, comm: status.comm)
      if !filters.processes.isEmpty { process.isInTree = trees.contains(pid) }
      if !filters.cgroups.isEmpty { process.isInGroup = inGroups.contains(pid) }
      if !filters.users.isEmpty {
        process.uid = readFile("/proc/\(pid)/status").flatMap { ProcessNumbers(parsing: $0).uid }
      }
      if !filters.programs.isEmpty {
        process.exe = readLink("/proc/\(pid)/exe") ?? []
        let file = try? ProgramFile(path: "/proc/\(pid)/exe")
        process.isProgram = filters.programs.contains { $0.inode == file?.inode && $0.device == file?.device }
      }
      processes.append(process)
    }
    if !filters.ports.isEmpty { readPorts() }
  }

  private mutating func readPorts() {
    for socket in SocketLine.readAll() {
      if socket.isListening {
        listeningPorts.insert(socket.localPort)
      } else {
        connectedPorts.formUnion([socket.localPort, socket.remotePort])
      }
    }
  }
}

/// The processes in a control group and those below it.
private func members(ofCgroup folder: String, depth: Int = 0) -> [Int32] {
  // The kernel allows deeper ones (cgroup.max.depth); nobody has them.
  guard depth < 32, let content = readFile("\(folder)/cgroup.procs") else { return [] }
  let own = String(decoding: content, as: UTF8.self).split(separator: "\n").compactMap { Int32($0) }
  return own + namesInFolder(folder).flatMap { members(ofCgroup: "\(folder)/\($0)", depth: depth + 1) }
}
