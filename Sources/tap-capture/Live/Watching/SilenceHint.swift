// Why a capture sees nothing: one likely cause, found by looking, and what to do about it.
import CaptureRecords

/// What can be seen of the machine while a capture sees nothing.
struct SilentMachine {
  /// A process with what filters ask for.
  struct Process {
    var pid: Int32
    var comm: [UInt8]
    var uid: UInt32?
    /// Whether it is in one of the trees of `--pid`, in one of the groups of `--cgroup`, runs a file of `--exe`.
    var isInTree = true
    var isInGroup = true
    var isProgram = true
    /// The path of the file it runs, as /proc shows it.
    var exe: [UInt8] = []
  }

  var processes: [Process] = []
  var listeningPorts: Set<UInt16> = []
  /// Local and remote ports of connections that are open.
  var connectedPorts: Set<UInt16> = []
  var dismissed = Dismissals()
}

/// A hint and its remedy, a line each.
struct SilenceHint: Equatable {
  var text: String
  var remedy: String

  init(_ text: String, remedy: String) {
    self.text = text
    self.remedy = remedy
  }

  /// The most likely cause: what was seen and left out, then filters that nothing fits, then the ports.
  static func find(_ filters: ResolvedFilters, _ machine: SilentMachine) -> SilenceHint {
    dismissed(filters, machine.dismissed) ?? processes(filters, machine.processes) ?? ports(filters, machine)
      ?? SilenceHint(
        "no byte has moved over a connection that the filters choose",
        remedy: "See 'ss -tnp' for the connections there are, and --stats for what a capture sees.")
  }

  private static func dismissed(_ filters: ResolvedFilters, _ counters: Dismissals) -> SilenceHint? {
    let names = filters.protocols.map(\.rawValue).joined(separator: " or ")
    if counters.tlsFlows > 0 {
      return SilenceHint(
        "\(counters.tlsFlows) connections begin with TLS: what they carry is encrypted, and --protocol \(names) leaves "
          + "them out", remedy: "Without --protocol they are captured as they are, encrypted.")
    }
    if counters.flows > 0 {
      return SilenceHint(
        "\(counters.flows) connections were left out because their first bytes are not those of \(names)",
        remedy: "Without --protocol they are captured.")
    }
    return nil
  }

  private static func processes(_ filters: ResolvedFilters, _ processes: [SilentMachine.Process]) -> SilenceHint? {
    if !filters.processes.isEmpty, !processes.contains(where: \.isInTree) {
      return SilenceHint("every process chosen with --pid has ended", remedy: "See 'ps -e' for those that run.")
    }
    if !filters.comms.isEmpty, !processes.contains(where: { fits($0.comm, filters.comms) }) {
      return noName(filters.comms, processes)
    }
    if !filters.programs.isEmpty, !processes.contains(where: \.isProgram) {
      return noProgram(filters.programs, processes)
    }
    if !filters.users.isEmpty, !processes.contains(where: { process in filters.users.contains { $0 == process.uid } }) {
      return SilenceHint("no process runs as the user chosen with --uid", remedy: "See 'ps -eo euser,pid,comm'.")
    }
    if !filters.cgroups.isEmpty, !processes.contains(where: \.isInGroup) {
      return SilenceHint(
        "no process is in the control group chosen with --cgroup", remedy: "See 'systemd-cgls' or /proc/PID/cgroup.")
    }
    let isChosen = processes.contains { process in
      process.isInTree && process.isProgram && process.isInGroup
        && (filters.comms.isEmpty || fits(process.comm, filters.comms))
        && (filters.users.isEmpty || filters.users.contains { $0 == process.uid })
    }
    return isChosen
      ? nil
      : SilenceHint(
        "each filter matches some process, but no process matches all of them",
        remedy: "Different filters must all match.")
  }

  private static func fits(_ comm: [UInt8], _ names: [ProcessName]) -> Bool { names.contains { $0.bytes == comm } }

  private static func noName(_ names: [ProcessName], _ processes: [SilentMachine.Process]) -> SilenceHint {
    let wanted = names.map { String(decoding: $0.bytes, as: UTF8.self) }
    let similar = Set(processes.map { String(decoding: $0.comm, as: UTF8.self) }).filter { comm in
      wanted.contains { comm.lowercased().contains($0.lowercased()) || $0.lowercased().contains(comm.lowercased()) }
    }
    let running = similar.isEmpty ? "" : "; there is \(similar.sorted().prefix(3).joined(separator: ", "))"
    return SilenceHint(
      "no process has the name \(wanted.joined(separator: " or "))\(running)",
      remedy: "See 'ps -eo comm' for the names.")
  }

  private static func noProgram(_ programs: [ProgramFile], _ processes: [SilentMachine.Process]) -> SilenceHint {
    for program in programs {
      let replaced = Array("\(program.path) (deleted)".utf8)
      if let old = processes.first(where: { $0.exe == replaced }) {
        return SilenceHint(
          "process \(old.pid) runs a file that \(program.path) has replaced since",
          remedy: "Choose it with --exe /proc/\(old.pid)/exe, or start it again.")
      }
    }
    return SilenceHint(
      "no process runs \(programs.map(\.path).joined(separator: " or "))",
      remedy: "A script's program is its interpreter; see 'ls -l /proc/PID/exe'.")
  }

  private static func ports(_ filters: ResolvedFilters, _ machine: SilentMachine) -> SilenceHint? {
    guard !filters.ports.isEmpty else { return nil }
    let names =
      filters.ports.prefix(4).map(String.init).joined(separator: ", ") + (filters.ports.count > 4 ? ", …" : "")
    let isListening = filters.ports.contains(where: machine.listeningPorts.contains)
    let isConnected = filters.ports.contains(where: machine.connectedPorts.contains)
    if !isListening, !isConnected {
      return SilenceHint(
        "nobody on this machine uses port \(names) now", remedy: "See 'ss -tnap' for the ports in use.")
    }
    if filters.direction == .ingress, !isListening {
      return SilenceHint(
        "port \(names) is another machine's: --direction ingress leaves out its clients here",
        remedy: "Choose --direction egress.")
    }
    if !isConnected {
      return SilenceHint(
        "somebody listens on port \(names), but nobody is connected to it",
        remedy: "Clients may use a unix socket or another port; see 'ss -xap' and 'ss -tnap'.")
    }
    return SilenceHint(
      "there are connections over port \(names), but "
        + (filters.skipsLoopback ? "none with another machine has moved a byte" : "none has moved a byte"),
      remedy: filters.skipsLoopback ? "--no-loopback leaves out connections within this machine." : "They may be idle.")
  }
}
