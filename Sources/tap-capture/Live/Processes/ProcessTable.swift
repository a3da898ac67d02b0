// Who is who: the processes of the machine, kept by fork, exec and exit; /proc only fills in what began before.
import CaptureRecords
import Glibc

/// A process at a moment of its life. exec makes it another program, but not another process.
struct KnownProcess {
  var pid: Int32
  var startTicks: UInt64
  /// Nanoseconds since boot, as exact as it is known.
  var startNanoseconds: UInt64
  var parent: Int32
  var comm: [UInt8] = []
  var exe: [UInt8] = []
  var isExeCut = false
  var commandLine: [UInt8] = []
  var isCommandLineCut = false
  var uid: UInt32?
  var gid: UInt32?
  /// nil where nobody has told yet: after fork, until the process is looked at.
  var namespacePID: UInt32?
  var place = CgroupPlace()
  /// Whether only its number is known yet: nobody saw it begin, and /proc has not been asked.
  var isBare = true
  /// The id of its frame, once it has one.
  var frameID: UInt64?
  /// Whether it was looked at for being downstream of our own output.
  var isPlaceInPipelineKnown = false

  var cgroup: [UInt8] { place.path }
  var container: ContainerIdentity? { place.container }
}

struct ProcessTable {
  private var processes: [Int32: KnownProcess] = [:]
  private let ticksPerSecond = UInt64(max(1, sysconf(Int32(_SC_CLK_TCK))))
  /// Rises with each change of who or what a process is, so that ids remembered elsewhere expire.
  private(set) var epoch: UInt32 = 0

  private func ticks(_ nanoseconds: UInt64) -> UInt64 { nanoseconds / (1_000_000_000 / ticksPerSecond) }

  /// Takes in every process that /proc shows.
  mutating func scan() {
    for pid in runningProcesses() {
      guard let process = read(pid) else { continue }
      processes[pid] = process
    }
    for process in processes.values where process.container == nil {
      guard let container = containerNamedByShim(process) else { continue }
      processes[process.pid]?.place.container = container
    }
  }

  private func read(_ pid: Int32) -> KnownProcess? {
    guard let status = ProcessStatus.read(pid) else { return nil }
    var process = KnownProcess(
      pid: pid, startTicks: status.startTicks,
      startNanoseconds: status.startTicks &* (1_000_000_000 / ticksPerSecond), parent: status.parent)
    process.comm = status.comm
    process.exe = readLink("/proc/\(pid)/exe") ?? []
    process.commandLine = readFile("/proc/\(pid)/cmdline", limitBytes: Int(TAP_COMMAND_LINE_BYTES)) ?? []
    process.isCommandLineCut = process.commandLine.count == Int(TAP_COMMAND_LINE_BYTES)
    let numbers = ProcessNumbers(parsing: readFile("/proc/\(pid)/status") ?? [])
    process.uid = numbers.uid
    process.gid = numbers.gid
    process.namespacePID = numbers.namespacePID
    process.place = place(of: pid) ?? CgroupPlace()
    process.isBare = false
    return process
  }

  // MARK: Records

  mutating func fork(_ record: tap_fork_record) {
    epoch &+= 1
    let key = record.process
    // The child is its parent's copy until it executes something else.
    var child =
      processes[Int32(bitPattern: record.parent.tgid)].flatMap { parent in
        parent.startTicks == ticks(record.parent.start_boottime_ns) && !parent.isBare ? parent : nil
      } ?? bare(key)
    child.pid = Int32(bitPattern: key.tgid)
    child.startTicks = ticks(key.start_boottime_ns)
    child.startNanoseconds = key.start_boottime_ns
    child.parent = Int32(bitPattern: record.parent.tgid)
    child.namespacePID = nil
    child.frameID = nil
    child.isPlaceInPipelineKnown = false
    processes[child.pid] = child
  }

  /// The id of the frame that described the process until now, if there is one.
  mutating func execute(
    _ record: tap_exec_record, commandLine: UnsafeRawBufferPointer, path: UnsafeRawBufferPointer,
    cgroup: UnsafeRawBufferPointer
  ) -> UInt64? {
    epoch &+= 1
    let pid = Int32(bitPattern: record.process.tgid)
    var process = bare(record.process)
    process.isPlaceInPipelineKnown = processes[pid]?.isPlaceInPipelineKnown ?? false
    process.parent = Int32(bitPattern: record.parent.tgid)
    process.gid = record.gid
    process.namespacePID = record.namespace_pid
    process.comm = withUnsafeBytes(of: record.comm) { Array($0.prefix { $0 != 0 }) }
    process.exe = ProcessTable.joinPath(path)
    process.isExeCut = record.path_is_cut != 0
    process.commandLine = Array(commandLine)
    process.isCommandLineCut = record.command_line_total > record.command_line_length
    process.isBare = false
    if commandLine.isEmpty, record.command_line_total > 0, let content = readFile("/proc/\(pid)/cmdline") {
      process.commandLine = content
      process.isCommandLineCut = false
    }
    setPlace(of: &process, cgroup)
    return processes.updateValue(process, forKey: pid)?.frameID
  }

  /// What the kernel program tells is the place in the unified hierarchy. Where there are others /proc tells the container, or
  /// what the process was before.
  private func setPlace(of process: inout KnownProcess, _ components: UnsafeRawBufferPointer) {
    if !components.isEmpty { process.place = CgroupPlace(unified: ProcessTable.joinPath(components)) }
    if process.container == nil, components.isEmpty || CgroupPlace.hasVersion1 {
      var known = process.place
      if let before = processes[process.pid], before.startTicks == process.startTicks,
        known.path.isEmpty || (before.container != nil && !before.place.isUnified)
      {
        known = before.place
      }
      process.place = place(of: process.pid)?.after(known) ?? known
    }
    if process.container == nil { process.place.container = containerNamedByShim(process) }
  }

  private func place(of pid: Int32) -> CgroupPlace? {
    readFile("/proc/\(pid)/cgroup").flatMap(CgroupPlace.init(parsing:))
  }

  /// The id of the frame that described the process, if there is one.
  mutating func exit(_ record: tap_exit_record) -> UInt64? {
    let pid = Int32(bitPattern: record.process.tgid)
    guard processes[pid]?.startTicks == ticks(record.process.start_boottime_ns) else { return nil }
    epoch &+= 1
    return processes.removeValue(forKey: pid)?.frameID
  }

  /// Components from the file up to the root, each ended by a NUL, become a path.
  static func joinPath(_ components: UnsafeRawBufferPointer) -> [UInt8] {
    var path: [UInt8] = []
    for component in components.split(separator: 0).reversed() {
      path.append(UInt8(ascii: "/"))
      path += component
    }
    return path
  }

  // MARK: Questions

  private func bare(_ key: tap_process_key) -> KnownProcess {
    KnownProcess(
      pid: Int32(bitPattern: key.tgid), startTicks: ticks(key.start_boottime_ns),
      startNanoseconds: key.start_boottime_ns, parent: 0, uid: key.uid)
  }

  /// The process of a record. If its beginning was lost, /proc is asked, provided that it still shows the same process.
  func process(_ key: tap_process_key) -> KnownProcess {
    let pid = Int32(bitPattern: key.tgid)
    let startTicks = ticks(key.start_boottime_ns)
    if let known = processes[pid], known.startTicks == startTicks, !known.isBare { return known }
    if let found = read(pid), found.startTicks == startTicks { return found }
    return bare(key)
  }

  mutating func update(_ process: KnownProcess) { processes[process.pid] = process }

  /// The process that has this number now.
  func known(_ pid: Int32) -> KnownProcess? { processes[pid].flatMap { $0.isBare ? nil : $0 } }

  func comm(of pid: Int32) -> [UInt8]? { processes[pid]?.comm }

  /// The parents of a process as far as they are known, the nearest first.
  func ancestors(of process: KnownProcess, limit: Int) -> [KnownProcess] {
    var found: [KnownProcess] = []
    var pid = process.parent
    while found.count < limit, let parent = processes[pid] {
      found.append(parent)
      pid = parent.parent
    }
    return found
  }

  // MARK: Containers

  /// Ancestors among which the keeper of a container is looked for.
  private static let maximumDepth = 64

  /// The process that keeps a container, containerd's shim or conmon: the nearest one that is not in it itself.
  func keeper(of process: KnownProcess) -> KnownProcess? {
    guard let container = process.container else { return nil }
    return ancestors(of: process, limit: Self.maximumDepth).first {
      $0.container != container
        && ($0.comm.elementsEqual("containerd-shim".utf8)
          || ($0.comm.elementsEqual("conmon".utf8) && Conmon(commandLine: $0.commandLine)?.isOfExec != true))
    }
  }

  /// containerd's own tools let people choose an id, and the path of a cgroup does not tell that it is one. Then a process
  /// below a shim, and in another cgroup than it, is in the container that the shim was started for.
  private func containerNamedByShim(_ process: KnownProcess) -> ContainerIdentity? {
    let shim = ancestors(of: process, limit: Self.maximumDepth).first { $0.comm.elementsEqual("containerd-shim".utf8) }
    guard let shim, !process.cgroup.isEmpty, process.cgroup != shim.cgroup else { return nil }
    let arguments = splitArguments(shim.commandLine)
    guard let option = arguments.firstIndex(where: { $0.elementsEqual("-id".utf8) }), option + 1 < arguments.count
    else { return nil }
    return ContainerIdentity(id: String(decoding: arguments[option + 1], as: UTF8.self), runtime: .containerd)
  }

  /// The described processes in one of these containers.
  func described(in containers: Set<ContainerIdentity>) -> [KnownProcess] {
    processes.values.filter { process in
      process.frameID != nil && (process.container.map(containers.contains) ?? false)
    }
  }

  var all: [KnownProcess] { Array(processes.values) }

  /// The processes in containers, the oldest first: that is who may be asked about a container for the longest time.
  func containerMembers() -> [KnownProcess] {
    processes.values.filter { $0.container != nil }.sorted { ($0.startTicks, $0.pid) < ($1.startTicks, $1.pid) }
  }

  /// The containers that have processes.
  var containersInUse: Set<ContainerIdentity> { Set(processes.values.lazy.compactMap(\.container)) }

  /// What only /proc tells of a process that has forked and not executed anything.
  func completed(_ process: KnownProcess) -> KnownProcess {
    guard process.namespacePID == nil, let found = read(process.pid), found.startTicks == process.startTicks
    else { return process }
    var completed = process
    completed.namespacePID = found.namespacePID
    completed.place = found.place.after(process.place)
    if completed.container == nil { completed.place.container = containerNamedByShim(found) }
    return completed
  }
}
