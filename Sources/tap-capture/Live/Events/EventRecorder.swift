// Turns the kernel program's records into frames: the inner loop of the capture. In the steady state a record costs one
// look into the table of flows and one copy into the output, no allocation.
import CaptureRecords
import TapWire

/// What is known of a flow whose records are coming in.
struct OpenFlow {
  var accounting = FlowAccounting()
  /// What the kernel program said of it.
  let record: tap_flow_record
  /// Who used it last, and whose frame that was.
  var key: tap_process_key
  var keyFrame: UInt64
  /// The process that the flow's frame names.
  var process: UInt64
  /// The other end of the connection, where it is on this machine and known: its flow if that is captured, its process.
  var peerFlow: UInt64?
  var peerProcess: UInt64?
  /// It belongs to our own pipeline, or to no container that is chosen: nothing of it goes out.
  var isLeftOut = false
  var isOverlapping = false
}

struct EventRecorder: ~Copyable {
  var output: Output
  var processes = ProcessTable()
  var pipeline: Pipeline
  private(set) var totals = CaptureTotals()
  /// The time of the latest event, for what is said beside events.
  private(set) var latestTime: UInt64 = 0
  private var flows = FlowTable<UnsafeMutablePointer<OpenFlow>>()
  /// The ids of those over unix sockets.
  private(set) var unixFlows: Set<UInt64> = []
  /// Those of which the kernel program itself has told the end: the dismissed ones. Whoever looks for ends takes them.
  var endedUnixFlows: [UInt64] = []
  private var users = UserNames()
  private var containers = ContainerCatalog()
  private var lastProcessID: UInt64 = 0
  private var otherEnds = OtherEnds()
  private var addressNames = AddressNames()
  private var endedAtLast: Set<UInt64>?
  /// Named by the user: traced even if downstream of our output.
  private let askedFor: Set<Int32>
  private let excluded: ProcessSet
  private var choice: ContainerChoice?

  init(
    output: consuming Output, pipeline: Pipeline, excluded: ProcessSet, askedFor: Set<Int32>,
    choice: consuming ContainerChoice? = nil
  ) {
    self.output = output
    self.pipeline = pipeline
    self.excluded = excluded
    self.choice = choice
    self.askedFor = askedFor
  }

  deinit {
    for id in flows.keys { flows[id]?.deallocate() }
  }

  /// Takes one record of the ring.
  mutating func receive(_ record: UnsafeRawBufferPointer) {
    guard record.count >= MemoryLayout<UInt32>.size else { return }
    switch tap_record_kind(record.loadUnaligned(as: UInt32.self)) {
    case TAP_RECORD_DATA, TAP_RECORD_GAP:
      if let header = load(record, tap_transfer_record.self) { transfer(header, record) }
    case TAP_RECORD_FLOW:
      if let flow = load(record, tap_flow_record.self) { open(flow) }
    case TAP_RECORD_CLOSE:
      if let flow = load(record, tap_flow_record.self) {
        if flow.isUnix { endedUnixFlows.append(flow.flow_id) }
        end(flow)
      }
    case TAP_RECORD_FORK:
      if let fork = load(record, tap_fork_record.self) {
        processes.fork(fork)
        tellEnds()
      }
    case TAP_RECORD_EXEC:
      if let exec = load(record, tap_exec_record.self) { execute(exec, record) }
    case TAP_RECORD_EXIT:
      if let exit = load(record, tap_exit_record.self) {
        processes.exit(exit)
        tellEnds()
      }
    case TAP_RECORD_OTHER_END:
      if let end = load(record, tap_other_end_record.self) { learnOtherEnd(end) }
    default:
      break
    }
  }

  @inline(__always)
  private func load<Record: BitwiseCopyable>(_ record: UnsafeRawBufferPointer, _ type: Record.Type) -> Record? {
    record.count >= MemoryLayout<Record>.size ? record.loadUnaligned(as: type) : nil
  }

  // MARK: Transfers

  private mutating func transfer(_ header: tap_transfer_record, _ record: UnsafeRawBufferPointer) {
    guard let flow = flows[header.flow_id] else {
      // It had been taken for closed.
      totals.untrackedBytes += UInt64(header.length) + header.lost_before
      return
    }
    guard !flow.pointee.isLeftOut else { return }
    let direction: Direction = header.direction == UInt8(TAP_RECEIVED.rawValue) ? .received : .sent
    let step = flow.pointee.accounting.book(
      isReceived: direction == .received, offset: header.offset, length: UInt64(header.length),
      lostBefore: header.lost_before)
    latestTime = header.time_ns
    if step.lostBytes > 0 {
      gap(header.flow_id, direction, header.time_ns, step.gapOffset, step.lostBytes, .ringFull)
    }
    if !step.isInOrder || header.has_overlaps != 0, !flow.pointee.isOverlapping { noteOverlap(header.flow_id, flow) }
    if header.kind == TAP_RECORD_GAP.rawValue {
      let reason = GapFrame.Reason(cause: header.cause)
      gap(header.flow_id, direction, header.time_ns, step.offset, UInt64(header.length), reason)
      return
    }
    let start = MemoryLayout<tap_transfer_record>.size
    guard record.count - start >= Int(header.length) else { return }
    if !isSame(flow.pointee, header.process) { learnUser(of: flow, header.process) }
    let user = flow.pointee.keyFrame
    DataFrame(
      flow: header.flow_id, direction: direction, time: header.time_ns, offset: step.offset,
      bytes: UnsafeRawBufferPointer(rebasing: record[start..<(start + Int(header.length))]),
      process: user == flow.pointee.process ? nil : user
    ).append(to: &output.buffer)
    totals.dataFrames += 1
    totals.dataBytes += UInt64(header.length)
    output.endRecord()
  }

  private mutating func gap(
    _ flow: UInt64, _ direction: Direction, _ time: UInt64, _ offset: UInt64, _ length: UInt64,
    _ reason: GapFrame.Reason
  ) {
    totals.countGap(length, reason)
    GapFrame(flow: flow, direction: direction, time: time, offset: offset, length: length, reason: reason)
      .append(to: &output.buffer)
    output.endRecord()
  }

  private mutating func noteOverlap(_ id: UInt64, _ flow: UnsafeMutablePointer<OpenFlow>) {
    flow.pointee.isOverlapping = true
    send(flow)
    notice(
      .warning, "several threads use flow \(id) at once: its bytes are all counted, their order is not certain",
      counters: [("flow", id)])
  }

  // MARK: Processes

  @inline(__always)
  private func isSame(_ flow: OpenFlow, _ key: tap_process_key) -> Bool {
    flow.key.start_boottime_ns == key.start_boottime_ns && flow.key.tgid == key.tgid && flow.key.exec_id == key.exec_id
      && flow.key.uid == key.uid && flow.key.gid == key.gid
  }

  private mutating func learnUser(of flow: UnsafeMutablePointer<OpenFlow>, _ key: tap_process_key) {
    let process = processes.process(key)
    let frame = describe(updating(process, key, comm: process.comm))
    flow.pointee.key = key
    guard frame != flow.pointee.keyFrame else { return }
    flow.pointee.keyFrame = frame
    if let peer = flow.pointee.peerFlow { tellPeer(peer, of: frame) }
  }

  /// The id of the process's frame, which is sent first if it was not yet.
  private mutating func describe(_ process: KnownProcess) -> UInt64 {
    if let id = process.frameID { return id }
    lastProcessID += 1
    var described = processes.completed(process)
    seeContainer(of: described)
    if let container = described.container { tellAgain(containers.waitForFirst(container)) }
    described.frameID = lastProcessID
    processes.update(described)
    send(described, id: lastProcessID)
    return lastProcessID
  }

  private mutating func send(_ process: KnownProcess, id: UInt64) {
    var surroundings = ProcessSurroundings(ancestors: processes.ancestorNames(of: process))
    surroundings.unit = systemdUnit(cgroupPath: process.cgroup)
    if let container = process.container {
      surroundings.container = containers[container]?.description
      // The host's name for the same number is somebody else's.
      surroundings.user = process.uid.flatMap { containers[container]?.users?.name(of: $0) }
    } else {
      surroundings.user = process.uid.flatMap { users.name(of: $0) }
    }
    output.buffer.appendProcess(process, id: id, surroundings)
    output.endRecord()
  }

  private mutating func execute(_ exec: tap_exec_record, _ record: UnsafeRawBufferPointer) {
    guard let commandLineStart = MemoryLayout<tap_exec_record>.offset(of: \.command_line),
      let pathStart = MemoryLayout<tap_exec_record>.offset(of: \.path),
      let cgroupStart = MemoryLayout<tap_exec_record>.offset(of: \.cgroup)
    else { return }
    let commandLineBytes = min(Int(exec.command_line_length), Int(TAP_COMMAND_LINE_BYTES))
    let pathBytes = min(Int(max(exec.path_length, exec.host_path_length)), Int(TAP_PATH_BYTES))
    let cgroupBytes = min(Int(exec.cgroup_length), Int(TAP_CGROUP_BYTES))
    processes.execute(
      exec,
      commandLine: UnsafeRawBufferPointer(rebasing: record[commandLineStart..<(commandLineStart + commandLineBytes)]),
      path: UnsafeRawBufferPointer(rebasing: record[pathStart..<(pathStart + pathBytes)]),
      cgroup: UnsafeRawBufferPointer(rebasing: record[cgroupStart..<(cgroupStart + cgroupBytes)]))
    tellEnds()
    // The first process of a container: what it is called is known by the time it connects to anything.
    seeContainer(of: processes.process(exec.process))
  }

  /// Tells which processes are over of those that were described.
  private mutating func tellEnds() {
    for process in processes.takeEndedFrames() {
      ExitFrame(process: process).append(to: &output.buffer)
      output.endRecord()
    }
  }

  /// Forgets what exited a moment ago. Everything that happened before `now` has been received.
  mutating func forgetExited(at now: UInt64) {
    processes.forgetRetired(at: now)
    tellEnds()
  }

  /// Tells the names of users that came late.
  mutating func updateUsers() {
    let named = users.takeAnswers()
    guard !named.isEmpty else { return }
    for process in processes.described(as: named) {
      if let id = process.frameID { send(process, id: id) }
    }
  }

  // MARK: Containers

  private mutating func seeContainer(of process: KnownProcess) {
    guard let container = process.container, let keeper = processes.keeper(of: process) else { return }
    containers.see(
      container, member: process.pid, keeper: ContainerKeeper(pid: keeper.pid, startTicks: keeper.startTicks))
  }

  /// Finds out about the containers that are there when the capture starts; waits for a bounded time.
  mutating func findContainers() {
    for process in processes.containerMembers() { seeContainer(of: process) }
    _ = containers.waitForAll()
    addressNames.update(containers.descriptions)
    choice?.judge(processes.all) { containers[$0]?.description }
  }

  /// Tells what has become known of containers since the last call.
  mutating func updateContainers(at now: UInt64) {
    tellAgain(containers.takeAnswers())
    let forgotten = containers.refresh(at: now) { processes.containersInUse }
    for container in forgotten { choice?.forget(container) }
  }

  /// What was asked for on the command line and fits no container that is known.
  var unmatchedContainers: [String] { choice?.filter.unmatched(containers.descriptions) ?? [] }

  /// Whether the container of a flow's process is chosen; waits for its name, because nothing of it may be lost.
  private mutating func isChosen(_ process: KnownProcess, _ record: tap_flow_record) -> Bool {
    guard choice != nil else { return true }
    let process = processes.completed(process)
    seeContainer(of: process)
    if let container = process.container {
      tellAgain(containers.waitForFirst(container, nanoseconds: ContainerCatalog.startWaitNanoseconds))
    }
    return choice?.isChosen(
      process, process.container.flatMap { containers[$0]?.description }, cgroup: record.cgroup_id) ?? true
  }

  /// Judges containers again, and sends the descriptions of their processes again, with what is known by now.
  private mutating func tellAgain(_ changes: ContainerCatalog.Changes) {
    guard !changes.isEmpty else { return }
    addressNames.update(containers.descriptions)
    for container in changes.described {
      if let description = containers[container]?.description { choice?.judgeAgain(container, description) }
    }
    for process in processes.described(in: changes.described) {
      if let id = process.frameID { send(process, id: id) }
    }
  }

  // MARK: The other end

  /// Finds the other end of a flow that begins, and has its frame sent again with this one as its peer.
  private mutating func connect(_ flow: UnsafeMutablePointer<OpenFlow>) {
    let record = flow.pointee.record
    otherEnds.insert(record, process: flow.pointee.process)
    guard let other = otherEnds.other(of: record), other.flow != record.flow_id else {
      flow.pointee.peerProcess = processWithoutFlow(at: record).map { describe($0) }
      return
    }
    flow.pointee.peerFlow = other.flow
    flow.pointee.peerProcess = other.process
    if let peer = flows[other.flow], !peer.pointee.isLeftOut {
      peer.pointee.peerFlow = record.flow_id
      flow.pointee.peerProcess = peer.pointee.keyFrame
      tellPeer(other.flow, of: flow.pointee.process)
    }
  }

  /// Who has the other end of a unix socket, where no flow of theirs is captured, or not yet.
  private mutating func processWithoutFlow(at record: tap_flow_record) -> KnownProcess? {
    if record.other_process.tgid != 0 { return processes.process(record.other_process) }
    // Who connected just now. For a client it would be who called listen(2), which need not be who serves.
    guard record.role == UInt8(TAP_ROLE_SERVER.rawValue), record.is_joined == 0 else { return nil }
    return processes.known(Int32(bitPattern: record.peer_pid))
  }

  /// The process at the other end of `id`'s connection is another one than was said, or was not known.
  private mutating func tellPeer(_ id: UInt64, of process: UInt64) {
    guard let flow = flows[id], !flow.pointee.isLeftOut, flow.pointee.peerProcess != process else { return }
    flow.pointee.peerProcess = process
    send(flow)
  }

  /// The other end is none that is captured; who has it is known all the same.
  private mutating func learnOtherEnd(_ record: tap_other_end_record) {
    guard let end = otherEnds[record.other_end], flows[end.flow]?.pointee.isLeftOut == false else { return }
    latestTime = record.time_ns
    let comm = withUnsafeBytes(of: record.comm) { Array($0.prefix { $0 != 0 }) }
    let process = updating(processes.process(record.process), record.process, comm: comm)
    tellPeer(end.flow, of: describe(process))
  }

  private mutating func send(_ flow: UnsafeMutablePointer<OpenFlow>) {
    var frame = FlowFrame(flow.pointee)
    if case .ip(let address, _) = frame.local { frame.localName = addressNames[address] }
    if case .ip(let address, _) = frame.remote { frame.remoteName = addressNames[address] }
    frame.append(to: &output.buffer)
    output.endRecord()
  }

  // MARK: Flows

  private mutating func open(_ record: tap_flow_record) {
    guard !flows.contains(record.flow_id) else { return }
    latestTime = record.time_ns
    var process = processes.process(record.process)
    let flow = UnsafeMutablePointer<OpenFlow>.allocate(capacity: 1)
    flow.initialize(to: OpenFlow(record: record, key: record.process, keyFrame: 0, process: 0))
    flows[record.flow_id] = flow
    if record.isUnix { unixFlows.insert(record.flow_id) }
    if isOwnPipeline(&process) || !isChosen(process, record) {
      flow.pointee.isLeftOut = true
      return
    }
    let comm = withUnsafeBytes(of: record.comm) { Array($0.prefix { $0 != 0 }) }
    let id = describe(updating(process, record.process, comm: comm))
    flow.pointee.keyFrame = id
    flow.pointee.process = id
    totals.flows += 1
    connect(flow)
    send(flow)
    for direction in [Direction.sent, .received] {
      let unwanted = direction == .received ? record.unwanted.1 : record.unwanted.0
      guard unwanted > 0 else { continue }
      let step = flow.pointee.accounting.book(
        isReceived: direction == .received, offset: 0, length: unwanted, lostBefore: 0)
      gap(record.flow_id, direction, record.time_ns, step.offset, unwanted, .filtered)
    }
  }

  /// A process changes its user and its name without exec, too (nginx's workers): its records tell.
  private mutating func updating(_ process: KnownProcess, _ key: tap_process_key, comm: [UInt8]) -> KnownProcess {
    guard process.uid != key.uid || process.gid != key.gid || process.comm != comm else { return process }
    var updated = process
    updated.uid = key.uid
    updated.gid = key.gid
    updated.comm = comm
    processes.update(updated)
    if let id = updated.frameID { send(updated, id: id) }
    return updated
  }

  private mutating func isOwnPipeline(_ process: inout KnownProcess) -> Bool {
    guard !process.isPlaceInPipelineKnown, !askedFor.contains(process.pid) else { return false }
    process.isPlaceInPipelineKnown = true
    processes.update(process)
    guard pipeline.isStage(process.pid) else { return false }
    leaveOut([process.pid])
    return true
  }

  /// Leaves processes out from now on, with the flows that they have.
  mutating func leaveOut(_ stages: Set<Int32>) {
    let stages = stages.subtracting(askedFor)
    for pid in stages { excluded.insert(pid) }
    guard !stages.isEmpty else { return }
    for id in flows.keys {
      guard let flow = flows[id], stages.contains(Int32(bitPattern: flow.pointee.key.tgid)) else { continue }
      flow.pointee.isLeftOut = true
    }
  }

  /// Ends a flow: what is missing at its end becomes a gap, so that the books are closed.
  mutating func end(_ record: tap_flow_record) {
    end(record, reason: record.endReason)
  }

  private mutating func end(_ record: tap_flow_record, reason: String) {
    endedAtLast?.insert(record.flow_id)
    // Nothing else of the flow found room in the ring: all of it is a gap.
    if !flows.contains(record.flow_id) { open(record) }
    guard let flow = flows[record.flow_id] else { return }
    latestTime = max(latestTime, record.time_ns)
    defer { forget(record.flow_id, flow) }
    guard !flow.pointee.isLeftOut else { return }
    settle(record, flow, .sent, moved: record.moved.0, .ringFull)
    // What was received unseen comes behind everything that the kernel program saw.
    settle(record, flow, .received, moved: record.moved.1 - min(record.moved.1, record.unseen_at_end), .ringFull)
    settle(record, flow, .received, moved: record.moved.1, .notCaptured)
    CloseFrame(flow: record.flow_id, time: record.time_ns, reason: reason).append(to: &output.buffer)
    output.endRecord()
  }

  /// Ends a flow that has lost nothing of which no record tells.
  mutating func endWhole(_ id: UInt64, at time: UInt64, reason: String) {
    guard let flow = flows[id] else { return }
    defer { forget(id, flow) }
    guard !flow.pointee.isLeftOut else { return }
    latestTime = max(latestTime, time)
    CloseFrame(flow: id, time: time, reason: reason).append(to: &output.buffer)
    output.endRecord()
  }

  private mutating func forget(_ id: UInt64, _ flow: UnsafeMutablePointer<OpenFlow>) {
    unixFlows.remove(id)
    otherEnds.end(flow.pointee.record)
    flows[id] = nil
    flow.deallocate()
  }

  /// A gap up to `moved`, if that much is not in the books yet.
  private mutating func settle(
    _ record: tap_flow_record, _ flow: UnsafeMutablePointer<OpenFlow>, _ direction: Direction, moved: UInt64,
    _ reason: GapFrame.Reason
  ) {
    let missing = flow.pointee.accounting.bookEnd(isReceived: direction == .received, moved: moved)
    guard missing.lostBytes > 0 else { return }
    gap(record.flow_id, direction, record.time_ns, missing.offset, missing.lostBytes, reason)
  }

  /// From now on the ids of flows that end are remembered, for `endOpen`.
  mutating func beginFinishing() { endedAtLast = [] }

  /// Ends the flows that are open when the capture ends. `losses` are the totals of those that have lost something.
  mutating func endOpen(at time: UInt64, losses: [tap_flow_record]) {
    for var totals in losses where endedAtLast?.contains(totals.flow_id) != true {
      totals.time_ns = time
      end(totals, reason: "capture_ended")
    }
    for id in flows.keys.sorted() { endWhole(id, at: time, reason: "capture_ended") }
  }

  // MARK: Messages

  mutating func notice(
    _ severity: NoticeFrame.Severity, _ text: String, counters: [(name: String, value: UInt64)] = []
  ) {
    NoticeFrame(stage: "tap-capture", severity: severity, time: latestTime, text: text, counters: counters)
      .append(to: &output.buffer)
    output.endRecord()
  }

  /// Ends the stream.
  mutating func finish(losses: tap_loss_counters, dismissed: Dismissals, missedCalls: UInt64) {
    let totals = totals.counters(losses: losses, dismissed: dismissed, missedCalls: missedCalls)
    EndFrame(isComplete: true, totals: totals).append(to: &output.buffer)
    output.flush()
  }
}
