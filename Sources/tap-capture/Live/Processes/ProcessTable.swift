// Who is who: the processes of the machine, kept by fork, exec and exit; /proc only fills in what began before, and what was lost.
import CaptureRecords
import Glibc

/// A process by which another one was started, directly or not.
struct Ancestor: Equatable {
  var pid: Int32
  var startTicks: UInt64
  /// What it was called when that happened; empty where it is not known.
  var comm: [UInt8]
}

/// A process at a moment of its life. exec makes it another program, but not another process.
struct KnownProcess {
  var pid: Int32
  var startTicks: UInt64
  /// Nanoseconds since boot, as exact as it is known.
  var startNanoseconds: UInt64
  /// Which of its programs this is; nil where only /proc has told of it.
  var execID: UInt32?
  /// Its parent, the parent's parent and so on, as they were when it was forked, or executed something under another parent.
  var ancestors: [Ancestor] = []
  var comm: [UInt8] = []
  /// As the process sees it.
  var exe: [UInt8] = []
  var isExeCut = false
  /// As this machine sees it, where that is another one: the process has a root of its own (chroot(2)).
  var hostExe: [UInt8]?
  var commandLine: [UInt8] = []
  var isCommandLineCut = false
  var uid: UInt32?
  var gid: UInt32?
  var namespacePID: UInt32?
  var place = CgroupPlace()
  /// Whether only its number is known yet: nobody saw it begin, and /proc has not been asked.
  var isBare = true
  /// Whether it was forked, and nobody has looked yet if it was moved to another control group since.
  var mayHaveMoved = false
  /// Whether it has exited. What it did last is told a moment later.
  var isOver = false
  /// The id of its frame, once it has one.
  var frameID: UInt64?
  /// Whether it was looked at for being downstream of our own output.
  var isPlaceInPipelineKnown = false

  var cgroup: [UInt8] { place.path }
  var container: ContainerIdentity? { place.container }

  /// 0 where there is none.
  var parent: Int32 { ancestors.first?.pid ?? 0 }

  /// The ancestors of its children.
  fileprivate var lineage: [Ancestor] {
    [Ancestor(pid: pid, startTicks: startTicks, comm: comm)] + ancestors.prefix(ProcessTable.maximumLineage - 1)
  }
}

struct ProcessTable {
  /// Ancestors that are remembered beyond their end.
  static let maximumLineage = 8
  /// After its exit a process is remembered for so long: its sockets are closed behind it, and flows begin with that.
  static let retirementNanoseconds: UInt64 = 1_000_000_000

  private var processes: [Int32: KnownProcess] = [:]
  private let ticksPerSecond = UInt64(max(1, sysconf(Int32(_SC_CLK_TCK))))
  /// Those that have exited, in that order.
  private var retiring: [(pid: Int32, startTicks: UInt64, time: UInt64)] = []
  private var firstRetiring = 0
  /// Whether a fork, exec or exit was lost: what /proc said at the start may be over.
  private var hasLostRecords = false
  /// The frames of processes and programs that are over, until somebody takes them.
  private var endedFrames: [UInt64] = []

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
      startNanoseconds: status.startTicks &* (1_000_000_000 / ticksPerSecond), ancestors: lineage(of: status.parent))
    process.comm = status.comm
    (process.exe, process.hostExe) = programPaths(
      exe: readLink("/proc/\(pid)/exe") ?? [], root: readLink("/proc/\(pid)/root") ?? [])
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

  /// The ancestors of a child of `parent`, of which only the number is known.
  private func lineage(of parent: Int32) -> [Ancestor] {
    guard parent != 0 else { return [] }
    if let known = processes[parent] { return known.lineage }
    let status = ProcessStatus.read(parent)
    return [Ancestor(pid: parent, startTicks: status?.startTicks ?? 0, comm: status?.comm ?? [])]
  }

  private func lineage(of parent: tap_process_key) -> [Ancestor] {
    known(parent)?.lineage
      ?? [Ancestor(pid: Int32(bitPattern: parent.tgid), startTicks: ticks(parent.start_boottime_ns), comm: [])]
  }

  // MARK: Records

  mutating func fork(_ record: tap_fork_record) {
    let key = record.process
    // The child is its parent's copy until it executes something else.
    var child =
      known(record.parent).flatMap { parent in
        parent.isBare || parent.execID.map { $0 != record.parent.exec_id } ?? false ? nil : parent
      } ?? bare(key)
    child.pid = Int32(bitPattern: key.tgid)
    child.startTicks = ticks(key.start_boottime_ns)
    child.startNanoseconds = key.start_boottime_ns
    child.execID = key.exec_id
    child.ancestors = lineage(of: record.parent)
    child.uid = key.uid
    child.gid = key.gid
    child.namespacePID = record.namespace_pid
    child.mayHaveMoved = true
    child.isOver = false
    child.frameID = nil
    child.isPlaceInPipelineKnown = false
    put(child)
  }

  mutating func execute(
    _ record: tap_exec_record, commandLine: UnsafeRawBufferPointer, path: UnsafeRawBufferPointer,
    cgroup: UnsafeRawBufferPointer
  ) {
    let before = known(record.process)
    var process = bare(record.process)
    process.isPlaceInPipelineKnown = before?.isPlaceInPipelineKnown ?? false
    let parent = Ancestor(
      pid: Int32(bitPattern: record.parent.tgid), startTicks: ticks(record.parent.start_boottime_ns), comm: [])
    if let ancestors = before?.ancestors, let first = ancestors.first, first.pid == parent.pid,
      first.startTicks == parent.startTicks
    {
      process.ancestors = ancestors
    } else {
      process.ancestors = lineage(of: record.parent)
    }
    process.namespacePID = record.namespace_pid
    process.comm = withUnsafeBytes(of: record.comm) { Array($0.prefix { $0 != 0 }) }
    let (pathBytes, hostPathBytes) = (Int(record.path_length), Int(record.host_path_length))
    process.exe = ProcessTable.joinPath(UnsafeRawBufferPointer(rebasing: path.prefix(pathBytes)))
    process.isExeCut = record.path_is_cut != 0
    if hostPathBytes > pathBytes {
      process.hostExe = ProcessTable.joinPath(UnsafeRawBufferPointer(rebasing: path.prefix(hostPathBytes)))
    }
    process.commandLine = Array(commandLine)
    process.isCommandLineCut = record.command_line_total > record.command_line_length
    process.isBare = false
    if commandLine.isEmpty, record.command_line_total > 0, let content = readFile("/proc/\(process.pid)/cmdline") {
      process.commandLine = content
      process.isCommandLineCut = false
    }
    setPlace(of: &process, cgroup)
    put(process)
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

  mutating func exit(_ record: tap_exit_record) {
    if let process = known(record.process) { retire(process, at: record.time_ns) }
    forgetRetired(at: record.time_ns)
  }

  private mutating func retire(_ process: KnownProcess, at time: UInt64) {
    guard !process.isOver else { return }
    processes[process.pid]?.isOver = true
    retiring.append((process.pid, process.startTicks, time))
  }

  /// Forgets those that exited long enough ago. `time` is that of the latest record.
  mutating func forgetRetired(at time: UInt64) {
    while firstRetiring < retiring.count, retiring[firstRetiring].time + Self.retirementNanoseconds <= time {
      let (pid, startTicks, _) = retiring[firstRetiring]
      firstRetiring += 1
      // Its number may have been given again.
      if let process = processes[pid], process.startTicks == startTicks, process.isOver { remove(process) }
    }
    // Room is given back when half of it is empty: each is moved once at most, on average.
    guard firstRetiring * 2 > retiring.count else { return }
    retiring.removeFirst(firstRetiring)
    firstRetiring = 0
  }

  private mutating func remove(_ process: KnownProcess) {
    processes[process.pid] = nil
    if let frame = process.frameID { endedFrames.append(frame) }
  }

  /// What had the number until now is over.
  private mutating func put(_ process: KnownProcess) {
    if let frame = processes.updateValue(process, forKey: process.pid)?.frameID { endedFrames.append(frame) }
  }

  /// The frames of what is over since the last call.
  mutating func takeEndedFrames() -> [UInt64] {
    defer { endedFrames.removeAll() }
    return endedFrames
  }

  /// A fork, exec or exit was lost.
  mutating func noteLostRecords() { hasLostRecords = true }

  /// Looks which processes are gone without a record of it.
  mutating func findExited(at time: UInt64) {
    for process in processes.values
    where !process.isOver && ProcessStatus.read(process.pid)?.startTicks != process.startTicks {
      retire(process, at: time)
    }
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
      startNanoseconds: key.start_boottime_ns, execID: key.exec_id, uid: key.uid, gid: key.gid)
  }

  /// The process of a record, whichever program it runs.
  private func known(_ key: tap_process_key) -> KnownProcess? {
    let process = processes[Int32(bitPattern: key.tgid)]
    return process?.startTicks == ticks(key.start_boottime_ns) ? process : nil
  }

  /// The process of a record. Where its beginning or its exec was lost /proc is asked, provided that it still shows the same
  /// process.
  mutating func process(_ key: tap_process_key) -> KnownProcess {
    guard let known = known(key) else {
      let found = found(key)
      put(found ?? bare(key))
      // Nobody will tell of its end any more.
      if found == nil { retire(bare(key), at: clockNanoseconds(CLOCK_MONOTONIC)) }
      return processes[Int32(bitPattern: key.tgid)] ?? bare(key)
    }
    if !known.isBare {
      if let execID = known.execID {
        // A flow's record may come late, after an exec.
        if Int32(bitPattern: key.exec_id &- execID) <= 0 { return known }
      } else if !hasLostRecords {
        processes[known.pid]?.execID = key.exec_id
        return processes[known.pid] ?? known
      }
    }
    return readAgain(known, key)
  }

  /// The process has executed something else, of which no record came, or that is possible.
  private mutating func readAgain(_ known: KnownProcess, _ key: tap_process_key) -> KnownProcess {
    var process = found(key) ?? bare(key)
    process.isPlaceInPipelineKnown = known.isPlaceInPipelineKnown
    process.isOver = known.isOver
    if !known.isBare || process.isBare { process.ancestors = known.ancestors }
    if process.namespacePID == nil { process.namespacePID = known.namespacePID }
    process.place = process.place.after(known.place)
    if process.cgroup.isEmpty { process.place = known.place }
    if known.execID == nil, !known.isBare {
      // Nobody saw it execute anything: unless /proc shows something else by now, it is what it was.
      if process.isBare || (process.exe == known.exe && process.commandLine == known.commandLine) {
        process = known
        process.execID = key.exec_id
      }
    }
    if process.frameID == nil, known.frameID != nil { put(process) } else { processes[process.pid] = process }
    return process
  }

  /// What /proc shows of the process of a record now.
  private func found(_ key: tap_process_key) -> KnownProcess? {
    guard var process = read(Int32(bitPattern: key.tgid)), process.startTicks == ticks(key.start_boottime_ns) else {
      return nil
    }
    process.startNanoseconds = key.start_boottime_ns
    process.execID = key.exec_id
    return process
  }

  /// Takes over what has become known of a process, unless it is forgotten by now.
  mutating func update(_ process: KnownProcess) {
    guard processes[process.pid]?.startTicks == process.startTicks else { return }
    processes[process.pid] = process
  }

  /// The process that has this number now.
  func known(_ pid: Int32) -> KnownProcess? { processes[pid].flatMap { $0.isBare ? nil : $0 } }

  func comm(of pid: Int32) -> [UInt8]? { processes[pid]?.comm }

  /// The parents of a process that are still there, the nearest first.
  func ancestors(of process: KnownProcess, limit: Int) -> [KnownProcess] {
    var found: [KnownProcess] = []
    var lineage = process.ancestors[...]
    while found.count < limit, let next = lineage.popFirst() {
      guard let parent = processes[next.pid], parent.startTicks == next.startTicks else { continue }
      found.append(parent)
      lineage = parent.ancestors[...]
    }
    return found
  }

  /// What the parents of a process are called, the nearest first, as far as that is known. Those that are gone have their last
  /// known name.
  func ancestorNames(of process: KnownProcess) -> [[UInt8]] {
    var names: [[UInt8]] = []
    var lineage = process.ancestors[...]
    while names.count < Self.maximumLineage, let next = lineage.popFirst() {
      var comm = next.comm
      if let parent = processes[next.pid], parent.startTicks == next.startTicks {
        comm = parent.comm
        lineage = parent.ancestors[...]
      }
      guard !comm.isEmpty else { break }
      names.append(comm)
    }
    return names
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

  /// The described processes of one of these users.
  func described(as users: Set<UInt32>) -> [KnownProcess] {
    processes.values.filter { process in
      process.frameID != nil && (process.uid.map(users.contains) ?? false)
    }
  }

  var all: [KnownProcess] { Array(processes.values) }

  /// The processes in containers, the oldest first: that is who may be asked about a container for the longest time.
  func containerMembers() -> [KnownProcess] {
    processes.values.filter { $0.container != nil }.sorted { ($0.startTicks, $0.pid) < ($1.startTicks, $1.pid) }
  }

  /// The containers that have processes.
  var containersInUse: Set<ContainerIdentity> { Set(processes.values.lazy.compactMap(\.container)) }

  /// A process that was forked, with the control group to which it may have been moved since.
  func completed(_ process: KnownProcess) -> KnownProcess {
    guard process.mayHaveMoved, ProcessStatus.read(process.pid)?.startTicks == process.startTicks,
      let found = place(of: process.pid)
    else { return process }
    var completed = process
    completed.mayHaveMoved = false
    completed.place = found.after(process.place)
    if completed.container == nil { completed.place.container = containerNamedByShim(completed) }
    return completed
  }
}
