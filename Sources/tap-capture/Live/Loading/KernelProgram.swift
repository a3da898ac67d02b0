// Owns the kernel program: configured, loaded, attached, and gone with the value or with the process, whichever ends
// first. Links are descriptors of this process, so even SIGKILL leaves nothing behind.
import CLibbpf
import CaptureRecords
import CaptureSystem
import Glibc
import TapWire

struct KernelProgram: ~Copyable {
  private let object: OpaquePointer
  private var transferLinks: [OpaquePointer] = []
  private var otherLinks: [OpaquePointer] = []
  private var unixListLinks: [OpaquePointer] = []

  /// The descriptors of the maps, which are the object's.
  private struct Maps {
    let ring, traced, excluded, cgroups, cgroupVerdicts, unreportedEnds, tcpLosses, unixLosses: Int32

    init(of object: OpaquePointer) throws(CaptureFailure) {
      ring = try map("ring", of: object)
      traced = try map("traced", of: object)
      excluded = try map("excluded", of: object)
      cgroups = try map("cgroups", of: object)
      cgroupVerdicts = try map("cgroup_verdicts", of: object)
      unreportedEnds = try map("unreported_ends", of: object)
      tcpLosses = try map("tcp_losses", of: object)
      unixLosses = try map("unix_losses", of: object)
    }
  }

  private let maps: Maps
  let traced: ProcessSet
  let excluded: ProcessSet
  let cgroupVerdicts: CgroupVerdicts
  private let state: UnsafeMutablePointer<tap_shared_state>

  /// The engine whose programs are in the kernel.
  let engine: CaptureEngine
  private let transferPrograms: [String]

  /// First what says who is who.
  private static let commonPrograms = [
    "process_forked", "process_executed", "process_exited", "socket_changed_state", "socket_destroyed",
  ]
  /// First what costs less and usually lists them all.
  private static let unixListPrograms = ["list_unix_sockets", "list_open_unix_sockets"]
  private static let censusPrograms = ["find_listeners", "find_connections", "doubt_calls_under_way"]

  /// Captures from here on, with the first engine of the choice that the kernel takes. `prepare` is called when it is
  /// loaded and nothing runs yet; more than once if engines are refused.
  static func begin(
    _ choice: EngineChoice, _ settings: KernelSettings,
    prepare: (borrowing KernelProgram) throws(CaptureFailure) -> Void
  ) throws(CaptureFailure) -> KernelProgram {
    var refusals: [EngineRefusal] = []
    for engine in choice.engines {
      do throws(CaptureFailure) {
        LibbpfMessages.forget()
        var program = try load(settings, engine)
        try prepare(program)
        try program.attach()
        LibbpfMessages.report("using the \(engine.rawValue) engine")
        return program
      } catch {
        LibbpfMessages.report("the \(engine.rawValue) engine is refused: \(error.message)")
        refusals.append(EngineRefusal(engine: engine, failure: error))
      }
    }
    throw LoadFailure.merge(refusals)
  }

  private static func load(_ settings: KernelSettings, _ engine: CaptureEngine) throws(CaptureFailure) -> KernelProgram
  {
    let image = decodeImage()
    guard let object = image.withUnsafeBytes({ bpf_object__open_mem($0.baseAddress, $0.count, nil) }) else {
      throw LoadFailure.diagnose(errno, doing: "read the kernel program", engine)
    }
    do throws(CaptureFailure) {
      try configure(object, settings)
      let transferPrograms = engine.programNames()
      choosePrograms(of: object, transferPrograms)
      let result = bpf_object__load(object)
      guard result == 0 else { throw LoadFailure.diagnose(-result, doing: "load the kernel program", engine) }
      let maps = try Maps(of: object)
      return KernelProgram(
        object: object, maps: maps, state: try mapState(of: object), engine: engine, transferPrograms: transferPrograms)
    } catch {
      bpf_object__close(object)
      throw error
    }
  }

  private init(
    object: OpaquePointer, maps: Maps, state: UnsafeMutablePointer<tap_shared_state>, engine: CaptureEngine,
    transferPrograms: [String]
  ) {
    self.engine = engine
    self.transferPrograms = transferPrograms
    self.object = object
    self.maps = maps
    self.state = state
    traced = ProcessSet(map: maps.traced, state: state)
    excluded = ProcessSet(map: maps.excluded, state: state)
    cgroupVerdicts = CgroupVerdicts(map: maps.cgroupVerdicts, state: state)
  }

  deinit {
    for link in transferLinks + otherLinks + unixListLinks { bpf_link__destroy(link) }
    munmap(state, KernelProgram.stateBytes)
    bpf_object__close(object)
  }

  // MARK: Before loading

  /// Leaves out what belongs to another engine, or hooks what this kernel does not have.
  private static func choosePrograms(of object: OpaquePointer, _ transferPrograms: [String]) {
    let engines: [CaptureEngine] = [.fentry, .tracepoint]
    for name in engines.flatMap(\.programs).map(\.name) where !transferPrograms.contains(name) {
      guard let program = bpf_object__find_program_by_name(object, name) else { continue }
      bpf_program__set_autoload(program, false)
    }
  }

  private static func decodeImage() -> [UInt8] {
    kernelProgramImage.withUTF8Buffer { String(decoding: $0, as: UTF8.self) }
      .unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
  }

  private static func configure(_ object: OpaquePointer, _ settings: KernelSettings) throws(CaptureFailure) {
    guard let ring = bpf_object__find_map_by_name(object, "ring"),
      bpf_map__set_max_entries(ring, UInt32(settings.ringBytes)) == 0
    else { throw LoadFailure.diagnose(errno, doing: "set the size of the ring") }
    var bytes = 0
    guard let map = bpf_object__find_map_by_name(object, ".rodata.settings"),
      let value = bpf_map__initial_value(map, &bytes), bytes == MemoryLayout<tap_settings>.size
    else { throw LoadFailure.diagnose(ENOENT, doing: "find the kernel program's settings") }
    UnsafeMutableRawPointer(mutating: value).storeBytes(of: tap_settings(settings), as: tap_settings.self)
  }

  private static func map(_ name: String, of object: OpaquePointer) throws(CaptureFailure) -> Int32 {
    guard let map = bpf_object__find_map_by_name(object, name) else {
      throw LoadFailure.diagnose(ENOENT, doing: "find the map '\(name)'")
    }
    return bpf_map__fd(map)
  }

  private static let stateBytes = MemoryLayout<tap_shared_state>.size

  private typealias State = UnsafeMutablePointer<tap_shared_state>

  private static func mapState(of object: OpaquePointer) throws(CaptureFailure) -> State {
    let descriptor = try map(".data.state", of: object)
    guard let memory = mmap(nil, stateBytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), memory != MAP_FAILED
    else { throw LoadFailure.diagnose(errno, doing: "map the kernel program's state") }
    return memory.bindMemory(to: tap_shared_state.self, capacity: 1)
  }

  // MARK: Running

  /// The descriptor of the ring.
  var ring: Int32 { maps.ring }

  private mutating func attach() throws(CaptureFailure) {
    for name in KernelProgram.commonPrograms { otherLinks.append(try attach(name)) }
    for name in transferPrograms { transferLinks.append(try attach(name)) }
    // These run later; they are attached now, while the process still has the right to.
    for name in KernelProgram.unixListPrograms { unixListLinks.append(try attach(name)) }
  }

  private func attach(_ name: String) throws(CaptureFailure) -> OpaquePointer {
    guard let program = bpf_object__find_program_by_name(object, name), let link = bpf_program__attach(program) else {
      throw LoadFailure.diagnose(errno, doing: "attach '\(name)'", engine)
    }
    return link
  }

  /// Finds the connections that are open already, and puts those that are wanted into the ring with their owners.
  func takeCensus() throws(CaptureFailure) {
    for name in KernelProgram.censusPrograms {
      let link = try attach(name)
      defer { bpf_link__destroy(link) }
      // What it finds is in the ring; reading to the end makes it walk.
      _ = try readAll(link)
    }
    state.pointee.is_census_done = 1
  }

  /// Stops seeing bytes move, and returns when no program that does is running any more. Ends of flows and processes are
  /// seen until the value is gone.
  mutating func stopTransfers() {
    guard !transferLinks.isEmpty else { return }
    state.pointee.is_stopping = 1
    for link in transferLinks { bpf_link__destroy(link) }
    transferLinks.removeAll()
    _ = tap_wait_for_kernel_programs()
  }

  /// Stops seeing anything.
  mutating func stop() {
    stopTransfers()
    for link in otherLinks { bpf_link__destroy(link) }
    otherLinks.removeAll()
    for link in unixListLinks { bpf_link__destroy(link) }
    unixListLinks.removeAll()
  }

  /// Whether the next record wakes the reader, whatever its size; that ends it.
  var wakesReader: Bool {
    get { state.pointee.is_reader_asleep != 0 }
    nonmutating set { state.pointee.is_reader_asleep = newValue ? 1 : 0 }
  }

  /// What the kernel program counts.
  var counters: KernelCounters { KernelCounters(state: state) }

  /// Calls that moved bytes and for which the kernel did not run our program, because their processor was in the middle of
  /// the same one. The sum of the counters that the kernel keeps (bpf_prog_info in <linux/bpf.h>).
  var missedCalls: UInt64 {
    transferPrograms.reduce(0) { sum, name in
      guard let program = bpf_object__find_program_by_name(object, name) else { return sum }
      var info = bpf_prog_info()
      var size = UInt32(MemoryLayout<bpf_prog_info>.size)
      guard bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) == 0 else { return sum }
      return sum &+ info.recursion_misses
    }
  }

  /// What could not be recorded so far.
  var losses: tap_loss_counters { counters.losses }

  /// What was left out because it speaks another protocol, so far.
  var dismissed: Dismissals { counters.dismissed }

  /// Captures the processes of these cgroups; before `attach`.
  func choose(_ cgroups: [Cgroup]) throws(CaptureFailure) {
    for (index, cgroup) in cgroups.enumerated() {
      var key = UInt32(index)
      var descriptor = open(cgroup.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
      guard descriptor >= 0 else {
        throw CaptureFailure("cannot open the cgroup \(cgroup.folder): \(errorText(errno))", status: .usage)
      }
      defer { close(descriptor) }
      guard bpf_map_update_elem(maps.cgroups, &key, &descriptor, 0) == 0 else {
        throw LoadFailure.diagnose(errno, doing: "choose the cgroup \(cgroup.folder)")
      }
    }
  }

  /// Takes the ends of flows that found no room in the ring.
  func takeUnreportedEnds() -> [tap_flow_record] { takeAll(from: maps.unreportedEnds) }

  /// Takes what is kept of the open TCP flows that lost something.
  func takeTCPLosses() -> [tap_flow_record] { takeAll(from: maps.tcpLosses) }

  /// Takes what is kept of the unix flows that lost something; a flow that goes on losing comes back.
  func takeUnixLosses() -> [tap_flow_record] { takeAll(from: maps.unixLosses) }

  private func takeAll(from map: Int32) -> [tap_flow_record] {
    var records: [tap_flow_record] = []
    var key: UInt64 = 0
    while bpf_map_get_next_key(map, nil, &key) == 0 {
      var record = tap_flow_record()
      guard bpf_map_lookup_and_delete_elem(map, &key, &record) == 0 else { break }
      records.append(record)
    }
    return records
  }

  /// Those of the unix flows that are not open any more.
  func unlisted(_ flows: Set<UInt64>) throws(CaptureFailure) -> Set<UInt64> {
    var unlisted = flows
    for link in unixListLinks where !unlisted.isEmpty {
      try readAll(link).withUnsafeBytes { ids in
        for position in stride(from: 0, to: ids.count, by: MemoryLayout<UInt64>.size) {
          unlisted.remove(ids.loadUnaligned(fromByteOffset: position, as: UInt64.self))
        }
      }
    }
    return unlisted
  }

  /// Lets an iterator walk, and returns what it writes.
  private func readAll(_ link: OpaquePointer) throws(CaptureFailure) -> [UInt8] {
    let descriptor = bpf_iter_create(bpf_link__fd(link))
    guard descriptor >= 0 else { throw LoadFailure.diagnose(errno, doing: "list open connections") }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = read(descriptor, &chunk, chunk.count)
      if count > 0 { bytes += chunk[..<count] }
      if count == 0 { return bytes }
      // The kernel pauses after a million objects of which nothing was written (bpf_seq_read).
      guard count > 0 || errno == EINTR || errno == EAGAIN else {
        throw LoadFailure.diagnose(errno, doing: "list open connections")
      }
    }
  }
}

/// Counters that the kernel program raises, as long as it is loaded. Any thread may look: each is one word.
struct KernelCounters: @unchecked Sendable {
  fileprivate let state: UnsafePointer<tap_shared_state>

  fileprivate init(state: UnsafePointer<tap_shared_state>) { self.state = state }

  /// What could not be recorded.
  var losses: tap_loss_counters { state.pointee.losses }
  /// What was left out because it speaks another protocol.
  var dismissed: Dismissals { Dismissals(state) }
}

/// Flows that were left out because they speak another protocol.
struct Dismissals {
  var flows: UInt64 = 0
  /// Of these, those that began with TLS.
  var tlsFlows: UInt64 = 0
  /// The bytes of them that are in no frame.
  var bytes: UInt64 = 0
}

extension Dismissals {
  fileprivate init(_ state: UnsafePointer<tap_shared_state>) {
    flows = state.pointee.dismissed.flows
    tlsFlows = state.pointee.dismissed.tls_flows
    bytes = withUnsafeBytes(of: state.pointee.dismissed_bytes) { sums in
      sums.bindMemory(to: tap_processor_sum.self).reduce(0) { $0 &+ $1.bytes }
    }
  }
}
