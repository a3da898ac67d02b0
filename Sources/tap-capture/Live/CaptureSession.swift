// A capture from its preparation to its last frame.
import CaptureRecords
import CaptureSystem
import Glibc
import TapWire

struct CaptureSession: ~Copyable {
  private let options: CaptureOptions
  private let settings: KernelSettings
  private let filters: ResolvedFilters
  private var command: LaunchedCommand?
  private var program: KernelProgram
  private var ring: RingReader
  private var waiter: Waiter
  private var recorder: EventRecorder
  private let diagnostics = Diagnostics(program: "tap-capture")
  private var statistics: StatisticsThread?
  private var unreportedEnds: [tap_flow_record] = []
  private var unreportedEndsPosition: UInt64 = 0
  private var unreportedEndsCount: UInt64 = 0
  private var unixFlowEnds = UnixFlowEnds()
  private var lostProcessRecords: UInt64 = 0
  private var nextLookForExited: UInt64?

  /// Why the capture stops.
  private enum Stop: Equatable {
    case requested
    case commandEnded(Int32)
    case outputFailed

    var isEndOfCommand: Bool { if case .commandEnded = self { true } else { false } }
  }

  /// Prepares everything, so that the capture is running when this returns. A command has been forked by then and waits.
  init(_ options: CaptureOptions) throws(CaptureFailure) {
    LibbpfMessages.install(verbose: options.verbose)
    try RecordingFile.check()
    let filters = try ResolvedFilters(options.filters)
    try LoadFailure.checkPrerequisites()
    CaptureSignals.install(hasCommand: !options.command.isEmpty)
    let settings = KernelSettings(
      ringBytes: KernelSettings.ringBytes(roundingUp: options.buffer.bytes), filters: filters,
      filtersByProcess: !filters.processes.isEmpty || !options.command.isEmpty,
      bytesPerCallMaximum: options.maxBytes.map { UInt32(clamping: $0.bytes) })
    // Before the kernel program is loaded: the child is to inherit nothing of it.
    var command: LaunchedCommand? = nil
    if !options.command.isEmpty { command = try LaunchedCommand.start(options.command) }
    let commandPID = command?.pid
    let program = try KernelProgram.begin(options.engine, settings) { program throws(CaptureFailure) in
      program.excluded.insert(getpid())
      if let pid = commandPID { program.traced.insert(pid) }
      try program.choose(filters.cgroups)
    }
    let ring = try RingReader.map(descriptor: program.ring, ringBytes: settings.ringBytes)
    let waiter = try Waiter.open(ring: program.ring, output: STDOUT_FILENO)
    var recorder = EventRecorder(
      output: Output(descriptor: STDOUT_FILENO), pipeline: Pipeline(output: STDOUT_FILENO), excluded: program.excluded,
      askedFor: Set(filters.processes),
      choice: filters.containers.isEmpty ? nil : ContainerChoice(filters.containers, program.cgroupVerdicts))

    // After attaching: what happens meanwhile is in the ring, and is applied on top of what /proc shows.
    recorder.processes.scan()
    try CaptureSession.trace(Set(filters.processes), in: program.traced)
    recorder.leaveOut(recorder.pipeline.findStages())
    try program.takeCensus()
    try Privileges.drop(hasCommand: !options.command.isEmpty)
    // Reading the kernel's types took a dozen megabytes, which the allocator would keep for another time.
    malloc_trim(0)

    if options.stats { statistics = try StatisticsThread.start(ring: ring.gauge, losses: program.counters) }
    self.options = options
    self.settings = settings
    self.filters = filters
    self.command = command
    self.program = program
    self.ring = ring
    self.waiter = waiter
    self.recorder = recorder
  }

  // MARK: Before

  /// The processes asked for, with the children that they have. Children that come meanwhile are taken by the kernel
  /// program if it knows their parent; so this goes on until there is nobody new.
  private static func trace(_ pids: Set<Int32>, in traced: ProcessSet) throws(CaptureFailure) {
    guard !pids.isEmpty else { return }
    var known: Set<Int32> = []
    while true {
      let found = descendants(of: pids, parents: runningParents()).subtracting(known)
      if found.isEmpty { return }
      for pid in found where !traced.insert(pid) {
        throw CaptureFailure("too many processes to trace", remedy: "Choose fewer with --pid.", status: .unavailable)
      }
      known.formUnion(found)
    }
  }

  // MARK: During

  /// Captures until it is told to stop, and returns the exit status.
  consuming func run() -> Int32 {
    begin()
    let stop = follow()
    statistics?.stop()
    statistics?.endLine()
    statistics = nil
    if stop != .outputFailed { finish(stop) }
    return exitStatus(stop)
  }

  private mutating func begin() {
    var host = [CChar](repeating: 0, count: 256)
    gethostname(&host, host.count - 1)
    let hostName = String(decoding: host.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    HelloFrame(
      producer: "tap-capture \(tapVersion)",
      wallClockOffset: Int64(clockNanoseconds(CLOCK_REALTIME)) - Int64(clockNanoseconds(CLOCK_MONOTONIC)),
      host: hostName, source: "live"
    ).append(to: &recorder.output.buffer)
    recorder.findContainers()
    if !isInFirstPidNamespace {
      let text = "this is not the machine's own pid namespace: processes have other pids here than in the stream"
      recorder.notice(.warning, text)
      diagnostics.report(text, remedy: "In a container, start it with the host's namespace (docker run --pid=host).")
    }
    recorder.output.flush()
    for filter in recorder.unmatchedContainers {
      diagnostics.report("no container matches \(filter) yet; one that starts later will be captured")
    }
    let size = settings.ringBytes >= 1 << 20 ? "\(settings.ringBytes >> 20) MiB" : "\(settings.ringBytes >> 10) KiB"
    diagnostics.report("ready (\(program.engine.rawValue) engine, ring \(size))")
    if let pid = command?.pid {
      CaptureSignals.command.store(pid, ordering: .relaxed)
      // Asked to stop before it began: it gets the signal where it waits, and its status says so.
      let request = CaptureSignals.stopRequest.load(ordering: .relaxed)
      if request == 0 { command?.release() } else { kill(pid, request) }
    }
  }

  private mutating func follow() -> Stop {
    let start = clockNanoseconds(CLOCK_MONOTONIC)
    let deadline = options.duration.map { start + $0.nanoseconds } ?? .max
    // Stages that the shell had not started yet are found a second later.
    var secondLook: UInt64? = start + 1_000_000_000
    var hintDue: UInt64? = start + CaptureSession.silenceNanoseconds
    while true {
      let beginning = clockNanoseconds(CLOCK_MONOTONIC)
      let isDrained = drainSome()
      if isDrained { recorder.output.flush() }
      if recorder.output.failure != nil { return .outputFailed }
      if CaptureSignals.stopRequest.load(ordering: .relaxed) != 0 { return .requested }
      if let status = command?.endedStatus() { return .commandEnded(status) }
      let now = clockNanoseconds(CLOCK_MONOTONIC)
      if now >= deadline { return .requested }
      lookForEndsOfUnixFlows(at: now)
      lookForExitedProcesses(at: now)
      if isDrained { recorder.forgetExited(at: beginning) }
      recorder.updateContainers(at: now)
      recorder.updateUsers()
      if let due = secondLook, now >= due {
        secondLook = nil
        recorder.leaveOut(recorder.pipeline.findStages())
      }
      if let due = hintDue, now >= due {
        hintDue = nil
        explainSilence()
      }
      if isDrained, !waiter.wait(for: ring, of: program) { return .outputFailed }
    }
  }

  /// After this time without a byte a hint is due.
  private static let silenceNanoseconds: UInt64 = 5_000_000_000

  /// Says once what may be the reason if nothing has been seen.
  private func explainSilence() {
    guard recorder.totals.dataBytes == 0, recorder.totals.gapBytes.isEmpty else { return }
    let hint = SilenceHint.find(filters, SilentMachine(for: filters, dismissed: program.dismissed))
    statistics?.endLine()
    diagnostics.report("nothing seen yet: \(hint.text)", remedy: hint.remedy)
  }

  /// Where exits were lost, /proc tells who is gone: a second later, so that it is not asked over and over.
  private mutating func lookForExitedProcesses(at now: UInt64) {
    if let due = nextLookForExited, now >= due {
      nextLookForExited = nil
      recorder.processes.findExited(at: now)
    }
  }

  /// Takes what is in the ring, up to a megabyte of it, and returns whether that was all.
  private mutating func drainSome() -> Bool {
    takeUnreportedEnds()
    noteLostProcessRecords()
    if let statistics {
      statistics.publish(recorder.totals, ringBytes: ring.gauge.bytesInUse)
    }
    let isDrained = ring.consume(limitBytes: 1 << 20) { record in recorder.receive(record) }
    if !unreportedEnds.isEmpty, ring.position >= unreportedEndsPosition {
      for end in unreportedEnds { recorder.end(end) }
      unreportedEnds.removeAll()
    }
    unixFlowEnds.settle(&recorder, readTo: ring.position)
    return isDrained
  }

  private mutating func noteLostProcessRecords() {
    let count = program.losses.process_records
    guard count != lostProcessRecords else { return }
    lostProcessRecords = count
    recorder.processes.noteLostRecords()
    if nextLookForExited == nil { nextLookForExited = clockNanoseconds(CLOCK_MONOTONIC) + 1_000_000_000 }
  }

  /// Takes the ends of flows that found no room in the ring. All else of these flows stands in front of the position
  /// that the ring has by now, so they have to wait until it is read.
  private mutating func takeUnreportedEnds() {
    let count = program.losses.close_records
    guard count != unreportedEndsCount else { return }
    unreportedEndsCount = count
    unreportedEnds += program.takeUnreportedEnds()
    unreportedEndsPosition = ring.endPosition
  }

  private mutating func lookForEndsOfUnixFlows(at now: UInt64, isLast: Bool = false) {
    do throws(CaptureFailure) {
      try unixFlowEnds.look(at: now, &recorder, in: program, ring, isLast: isLast)
    } catch {
      recorder.notice(.warning, "\(error.message): the ends of flows over unix sockets are not known")
    }
  }

  // MARK: After

  /// Brings the stream to its end: no byte that moved while the capture ran is left out of the books.
  private mutating func finish(_ stop: Stop) {
    recorder.beginFinishing()
    program.stopTransfers()
    drainAll()
    lookForEndsOfUnixFlows(at: clockNanoseconds(CLOCK_MONOTONIC), isLast: true)
    let losses = program.takeTCPLosses() + unixFlowEnds.takeLosses()
    program.stop()
    drainAll()
    recorder.endOpen(at: clockNanoseconds(CLOCK_MONOTONIC), losses: losses)
    recorder.forgetExited(at: .max)
    reportLosses()
    let survivors = stop.isEndOfCommand ? survivingDescendants() : []
    if !survivors.isEmpty {
      recorder.notice(
        .info, "the command has ended; still running are \(survivors.joined(separator: ", "))",
        counters: [("processes", UInt64(survivors.count))])
    }
    recorder.finish(losses: program.losses, dismissed: program.dismissed, missedCalls: program.missedCalls)
  }

  private mutating func drainAll() {
    let end = ring.endPosition
    // A program that is writing a record right now takes microseconds; it cannot be waited for otherwise.
    repeat {
      if drainSome(), ring.position < end { usleep(100) }
    } while recorder.output.failure == nil && (ring.position < end || !unreportedEnds.isEmpty || !unixFlowEnds.isEmpty)
  }

  private func survivingDescendants() -> [String] {
    program.traced.members.filter { kill($0, 0) == 0 || errno == EPERM }.map { pid in
      "\(String(decoding: recorder.processes.comm(of: pid) ?? [], as: UTF8.self)) (\(pid))"
    }
  }

  private mutating func reportLosses() {
    let losses = program.losses
    if losses.transfer_bytes > 0 {
      let text = "the ring was full: \(losses.transfer_bytes) bytes were lost; each loss is a gap in its flow"
      recorder.notice(.warning, text, counters: [("lost_bytes", losses.transfer_bytes)])
      diagnostics.report(text, remedy: "Choose a larger --buffer, or capture less with --port, --pid or --direction.")
    }
    if losses.process_records > 0 {
      recorder.notice(
        .warning,
        "the ring was full: \(losses.process_records) starts and ends of processes were lost; /proc fills in where it can",
        counters: [("lost_process_records", losses.process_records)])
    }
    let missedCalls = program.missedCalls
    if missedCalls > 0 {
      let text = "the kernel did not show \(missedCalls) calls: their bytes are not in the totals"
      recorder.notice(.warning, text, counters: [("missed_calls", missedCalls)])
      diagnostics.report(text, remedy: "It preempts programs inside the kernel; boot with preempt=voluntary.")
    }
    let untrackedBytes = losses.untracked_bytes + recorder.totals.untrackedBytes
    if losses.forgotten_ends > 0 || untrackedBytes > 0 {
      recorder.notice(
        .warning, "some flows could not be followed to their end; their bytes are not in the totals",
        counters: [("lost_flow_ends", losses.forgotten_ends), ("untracked_bytes", untrackedBytes)])
    }
  }

  private mutating func exitStatus(_ stop: Stop) -> Int32 {
    if case .commandEnded(let status) = stop { return status }
    // The capture is over, the command is not: it goes on undisturbed, and its status is ours.
    program.stop()
    if let status = command?.waitForEnd() { return status }
    guard case .system(let operation, let code) = recorder.output.failure else { return ExitStatus.success.rawValue }
    diagnostics.report("\(operation) failed: \(errorText(code))")
    return ExitStatus.inputOutput.rawValue
  }
}

/// The time of a clock, in nanoseconds.
func clockNanoseconds(_ clock: clockid_t) -> UInt64 {
  var time = timespec()
  clock_gettime(clock, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Whether pids are those that the kernel program sees. The inode is fixed (PROC_PID_INIT_INO of <linux/proc_ns.h>).
private var isInFirstPidNamespace: Bool {
  readLink("/proc/self/ns/pid").flatMap { inode(inLink: $0, prefix: "pid") } == 0xefff_fffc
}
