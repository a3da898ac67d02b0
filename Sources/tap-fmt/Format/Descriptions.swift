// What is known of processes and connections, already in the form in which the lines show it, within a bound of memory.
import TapWire

/// A process as the lines show it.
final class DescribedProcess {
  /// JSON: an object. Pretty: the name. Empty where no description has come.
  let text: ByteBuffer
  var openFlows: Int
  var hasEnded = false
  /// Whether it stands among those that ended last.
  var isRetired = false
  /// When it was last needed, in uses.
  var lastUse: UInt64

  init(text: consuming ByteBuffer, openFlows: Int, lastUse: UInt64) {
    self.text = text
    self.openFlows = openFlows
    self.lastUse = lastUse
  }
}

/// A connection as the lines show it.
final class DescribedFlow {
  let role: Role
  let process: UInt64?
  /// The process at the other end.
  let peerProcess: UInt64?
  /// JSON: `,"client":…,"server":…`, and behind it `,"connection":{…}` where a decoder has told its state. Pretty: empty.
  @exclusivity(unchecked) private(set) var text: ByteBuffer
  private let endsBytes: Int
  /// Whether bytes of it came that no stage has decoded.
  var isUndecoded = false
  var lastUse: UInt64

  init(role: Role, process: UInt64?, peerProcess: UInt64?, text: consuming ByteBuffer, lastUse: UInt64) {
    self.role = role
    self.process = process
    self.peerProcess = peerProcess
    endsBytes = text.count
    self.text = text
    self.lastUse = lastUse
  }

  /// The state of the connection, empty where it is not known.
  var connection: UnsafeRawBufferPointer {
    get { UnsafeRawBufferPointer(rebasing: text.bytes[endsBytes...]) }
    set {
      text.truncate(to: endsBytes)
      text.append(newValue)
      text.shrink(toCapacityBytes: text.count)
    }
  }
}

/// The processes and flows of one scope.
///
/// A flow is kept until it closes, a process while one of its flows is open, and beyond that until it ends. Where the room
/// ends, the least recently needed half is forgotten.
struct Descriptions: ~Copyable {
  /// All text that is kept, and what keeping it costs.
  static let maximumBytes = 24 << 20
  /// Processes that are remembered after their end: a stage before this one may hold their exchanges back.
  static let maximumEndedProcesses = 1024
  /// Objects, table slots and allocations of one entry, generously.
  private static let entryBytes = 256

  private var processes = FlowTable<DescribedProcess>()
  private var flows = FlowTable<DescribedFlow>()
  /// The processes that ended last and have no open flow. Full, it is a ring: `nextEnded` is the earliest.
  private var ended: [UInt64] = []
  private var nextEnded = 0
  private var keptBytes = 0
  private var uses: UInt64 = 0
  /// Descriptions dropped for want of room: exchanges may have been printed without them.
  private(set) var forgotten: UInt64 = 0

  mutating func flow(_ id: UInt64) -> DescribedFlow? {
    guard let flow = flows[id] else { return nil }
    uses &+= 1
    flow.lastUse = uses
    return flow
  }

  mutating func process(_ id: UInt64) -> DescribedProcess? {
    guard let process = processes[id] else { return nil }
    uses &+= 1
    process.lastUse = uses
    return process
  }

  mutating func describeProcess(_ id: UInt64, text: consuming ByteBuffer) {
    let known = processes[id]
    if let known { keptBytes -= Descriptions.cost(known.text) }
    insertProcess(id, text: text, openFlows: known?.openFlows ?? 0)
    if let known {
      processes[id]?.hasEnded = known.hasEnded
      processes[id]?.isRetired = known.isRetired
    }
    makeRoom()
  }

  mutating func describeFlow(
    _ id: UInt64, role: Role, process: UInt64?, peerProcess: UInt64?, text: consuming ByteBuffer
  ) {
    let known = flows[id]
    closeFlow(id)
    if let process {
      if let known = processes[process] {
        known.openFlows += 1
      } else {
        // The flow may be described before its process.
        insertProcess(process, text: ByteBuffer(capacityBytes: 16), openFlows: 1)
      }
    }
    uses &+= 1
    keptBytes += Descriptions.cost(text)
    let flow = DescribedFlow(role: role, process: process, peerProcess: peerProcess, text: text, lastUse: uses)
    flows[id] = flow
    if let known { setConnection(of: flow, to: known.connection) }
    makeRoom()
  }

  /// A decoder tells the state of a connection whose flow was described.
  mutating func describeConnection(_ id: UInt64, text: borrowing ByteBuffer) {
    guard let flow = flows[id] else { return }
    setConnection(of: flow, to: text.bytes)
    makeRoom()
  }

  private mutating func setConnection(of flow: DescribedFlow, to connection: UnsafeRawBufferPointer) {
    keptBytes += connection.count - flow.connection.count
    flow.connection = connection
  }

  mutating func closeFlow(_ id: UInt64) {
    guard let flow = flows[id] else { return }
    keptBytes -= Descriptions.cost(flow.text)
    flows[id] = nil
    guard let id = flow.process, let process = processes[id] else { return }
    process.openFlows -= 1
    if process.hasEnded, process.openFlows == 0 { retire(process, id) }
  }

  mutating func endProcess(_ id: UInt64) {
    guard let process = processes[id], !process.hasEnded else { return }
    process.hasEnded = true
    if process.openFlows == 0 { retire(process, id) }
  }

  private mutating func retire(_ process: DescribedProcess, _ id: UInt64) {
    // A flow that is described again closes and opens: its process keeps the one place that it has.
    if process.isRetired { return }
    process.isRetired = true
    if ended.count < Descriptions.maximumEndedProcesses {
      ended.append(id)
      return
    }
    let earliest = ended[nextEnded]
    ended[nextEnded] = id
    nextEnded = (nextEnded + 1) % ended.count
    guard let process = processes[earliest] else { return }
    process.isRetired = false
    if process.openFlows == 0 { removeProcess(earliest) }
  }

  private mutating func insertProcess(_ id: UInt64, text: consuming ByteBuffer, openFlows: Int) {
    uses &+= 1
    keptBytes += Descriptions.cost(text)
    processes[id] = DescribedProcess(text: text, openFlows: openFlows, lastUse: uses)
  }

  private static func cost(_ text: borrowing ByteBuffer) -> Int { text.count + entryBytes }

  private mutating func makeRoom() {
    guard keptBytes > Descriptions.maximumBytes else { return }
    var candidates: [(lastUse: UInt64, id: UInt64, isFlow: Bool)] = []
    for id in flows.keys { candidates.append((flows[id]?.lastUse ?? 0, id, true)) }
    for id in processes.keys where processes[id]?.openFlows == 0 {
      candidates.append((processes[id]?.lastUse ?? 0, id, false))
    }
    candidates.sort { $0.lastUse < $1.lastUse }
    for candidate in candidates where keptBytes > Descriptions.maximumBytes / 2 {
      if candidate.isFlow { forgetFlow(candidate.id) } else { forgetProcess(candidate.id) }
    }
  }

  /// Forgets a flow, and its process with the last of its flows.
  private mutating func forgetFlow(_ id: UInt64) {
    let process = flows[id]?.process
    closeFlow(id)
    forgotten += 1
    if let process, processes[process]?.openFlows == 0 { forgetProcess(process) }
  }

  private mutating func forgetProcess(_ id: UInt64) {
    if removeProcess(id) { forgotten += 1 }
  }

  @discardableResult
  private mutating func removeProcess(_ id: UInt64) -> Bool {
    guard let process = processes[id] else { return false }
    keptBytes -= Descriptions.cost(process.text)
    processes[id] = nil
    return true
  }
}
