// `tap-capture --read`: packets of a file in, the same frames out as those of a live capture, without any privilege.
import Glibc
import TapWire

/// Turns a capture file into a TapWire stream.
struct OfflineCapture: ~Copyable {
  private var file: CaptureFile
  private var writer = FlowWriter(output: Output(descriptor: STDOUT_FILENO))
  private var connections = Connections()
  private var fragments = FragmentAssembler()
  private var time: UInt64 = 0
  private var packets: UInt64 = 0
  /// Packets that are no TCP over IP, or of which too little was captured.
  private var otherPackets: UInt64 = 0

  init(path: String, filter: String?) throws(CaptureFile.Problem) {
    file = try CaptureFile(path: path, filter: filter)
  }

  /// Reads to the end of the file and returns the exit status. `name` is the file's name for messages.
  mutating func run(name: String) -> ExitStatus {
    // Times in the file are those of the wall clock.
    HelloFrame(producer: "tap-capture \(tapVersion)", wallClockOffset: 0, host: "", source: "file")
      .append(to: &writer.output.buffer)
    var damage: String?
    do throws(CaptureFile.Problem) {
      while writer.output.failure == nil, let packet = try file.next() { receive(packet) }
    } catch {
      damage = error.text
    }
    finish(damage: damage.map { "\(name): \($0) after \(packets) packets" })
    return status(damage)
  }

  private mutating func receive(_ packet: CaptureFile.Packet) {
    packets += 1
    time = packet.time
    guard let bytes = file.linkLayer.packet(in: PacketBytes(bytes: packet.bytes)), let ip = IPPacket(bytes),
      ip.transport == UInt8(IPPROTO_TCP)
    else {
      otherPackets += 1
      return
    }
    if let fragment = ip.fragment {
      guard let whole = fragments.add(ip, fragment) else { return }
      whole.withUnsafeBytes { receive(PacketBytes(bytes: $0), length: whole.count, of: ip) }
    } else {
      receive(ip.payload, length: ip.payloadLength, of: ip)
    }
  }

  private mutating func receive(_ bytes: PacketBytes, length: Int, of packet: IPPacket) {
    guard let segment = TCPSegment(bytes, length: length) else {
      otherPackets += 1
      return
    }
    connections.receive(segment, from: packet.source, to: packet.destination, time: time, to: &writer)
  }

  private mutating func finish(damage: String?) {
    connections.finish(time: time, to: &writer)
    let incomplete = fragments.incompletePackets + UInt64(fragments.pendingPackets)
    if incomplete > 0 {
      notice(.warning, "IP packets whose fragments are not all in the file", [("packets", incomplete)])
    }
    if let damage { notice(.error, damage, []) }
    let totals = writer.totals
    EndFrame(
      isComplete: damage == nil,
      totals: [
        ("packets", packets), ("other_packets", otherPackets), ("flows", totals.flows),
        ("data_bytes", totals.dataBytes), ("gap_bytes", totals.gapBytes), ("repeated_bytes", totals.repeatedBytes),
      ]
    ).append(to: &writer.output.buffer)
    writer.output.flush()
  }

  private mutating func notice(_ severity: NoticeFrame.Severity, _ text: String, _ counters: [(String, UInt64)]) {
    NoticeFrame(
      stage: "tap-capture", severity: severity, time: time, text: text,
      counters: counters.map { (name: $0.0, value: $0.1) }
    ).append(to: &writer.output.buffer)
    writer.output.endRecord()
  }

  private func status(_ damage: String?) -> ExitStatus {
    switch writer.output.failure {
    case .system(let operation, let code):
      Diagnostics(program: "tap-capture").report("\(operation) failed: \(errorText(code))")
      return .inputOutput
    default:
      return damage == nil ? .success : .badInput
    }
  }
}
