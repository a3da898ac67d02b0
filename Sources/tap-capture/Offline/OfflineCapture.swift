// `tap-capture --read`: packets of a file in, the same frames out as those of a live capture, without any privilege.
import Glibc
import TapWire

/// Turns a capture file into a TapWire stream.
struct OfflineCapture: ~Copyable {
  private let name: String
  private var file: CaptureFile
  private let writer = FlowWriter(output: Output(descriptor: STDOUT_FILENO))
  private var connections = Connections()
  private var fragments = FragmentAssembler()
  private var processes = PacketProcesses()
  private var progress = ProgressLine()
  private var time: UInt64 = 0
  private var packets: UInt64 = 0
  /// Packets that are no TCP over IP, and those of which too little was captured to tell.
  private var otherPackets: UInt64 = 0
  private var cutPackets: UInt64 = 0

  /// `path` is `-` for stdin; the filter is in the syntax of pcap-filter(7).
  init(path: String, filter: String?) throws(CaptureFile.Problem) {
    name = path == "-" ? "stdin" : path
    file = try CaptureFile(path: path, filter: filter)
  }

  /// Reads to the end of the file and returns the exit status.
  mutating func run() -> ExitStatus {
    let writer = self.writer
    file.input.beforeWaiting = { writer.output.flush() }
    // Times in the file are those of the wall clock.
    HelloFrame(producer: "tap-capture \(tapVersion)", wallClockOffset: 0, host: "", source: "file")
      .append(to: &writer.output.buffer)
    var damage: CaptureFile.Problem?
    do throws(CaptureFile.Problem) {
      while writer.output.failure == nil, !isStopped, let packet = try file.next(&progress) { receive(packet) }
    } catch {
      // Where a signal has ended the reading libpcap finds half a packet.
      damage = isStopped ? nil : error
    }
    progress.clear()
    let text = damage.map { describe($0) }
    finish(damage: text)
    return status(damage, text)
  }

  private var isStopped: Bool { CaptureSignals.stopRequest.load(ordering: .relaxed) != 0 }

  // MARK: Packets

  private mutating func receive(_ packet: CaptureFile.Packet) {
    packets += 1
    time = packet.time
    guard let bytes = file.linkLayer.packet(in: PacketBytes(bytes: packet.bytes)) else {
      otherPackets += 1
      return
    }
    let headerBytes = packet.bytes.count - bytes.count
    guard let ip = IPPacket(bytes, wireBytes: packet.wireBytes - headerBytes) else {
      noteUnread(packet)
      return
    }
    if let fragment = ip.fragment {
      guard ip.transport == UInt8(IPPROTO_TCP) || ip.hasExtensions else {
        otherPackets += 1
        return
      }
      guard let whole = fragments.add(ip, fragment, time: time) else { return }
      whole.payload.withUnsafeBytes {
        guard let (transport, bytes) = IPPacket.transport(whole.transport, in: PacketBytes(bytes: $0), of: ip) else {
          otherPackets += 1
          return
        }
        receive(bytes, length: bytes.count, transport, of: ip, packet)
      }
    } else {
      receive(ip.payload, length: ip.payloadLength, ip.transport, of: ip, packet)
    }
  }

  private mutating func receive(
    _ bytes: PacketBytes, length: Int, _ transport: UInt8, of ip: IPPacket, _ packet: CaptureFile.Packet
  ) {
    guard transport == UInt8(IPPROTO_TCP) else {
      otherPackets += 1
      return
    }
    let ends = processes.ends(of: packet.options, to: writer)
    guard let segment = TCPSegment(bytes, length: length) else {
      noteUnread(packet)
      return
    }
    connections.receive(segment, from: ip.source, to: ip.destination, time: time, processes: ends, to: writer)
  }

  /// Headers that are not whole: cut by the snap length, or no headers.
  private mutating func noteUnread(_ packet: CaptureFile.Packet) {
    if packet.bytes.count < packet.wireBytes { cutPackets += 1 } else { otherPackets += 1 }
  }

  // MARK: The end

  private mutating func finish(damage: String?) {
    connections.finish(time: time)
    let incomplete = fragments.incompletePackets + UInt64(fragments.pendingPackets)
    if incomplete > 0 {
      notice("IP packets whose fragments are not all in the file", ["packets": incomplete])
    }
    if cutPackets > 0 {
      notice(
        "packets were captured too short for their headers: a larger snap length is needed", ["packets": cutPackets])
    }
    if connections.forgotten > 0 {
      notice(
        "more connections at once than are remembered: the quietest were ended, and begin again when they go on",
        ["connections": connections.forgotten])
    }
    if connections.hurried > 0 {
      notice(
        "more bytes waited for missing ones than are kept: what was missing became gaps early",
        ["bytes": connections.hurried])
    }
    let totals = writer.totals
    if let first = totals.firstContradictedFlow {
      notice(
        "segments overlap and differ; the bytes are those that Linux keeps, another system may have kept others",
        ["segments": totals.contradictions, "flows": totals.contradictedFlows, "first_flow": first])
    }
    if isStopped { writer.notice(.info, time: time, "reading \(name) was stopped by a signal", ["packets": packets]) }
    if let damage { writer.notice(.error, time: time, damage, [:]) }
    EndFrame(
      isComplete: damage == nil,
      totals: [
        ("packets", packets), ("other_packets", otherPackets), ("cut_packets", cutPackets), ("flows", totals.flows),
        ("data_frames", totals.dataFrames), ("data_bytes", totals.dataBytes),
        ("gap_bytes_truncated", totals.truncatedBytes), ("gap_bytes_not_captured", totals.notCapturedBytes),
        ("repeated_bytes", totals.repeatedBytes), ("refused_bytes", totals.refusedBytes),
        ("refused_resets", totals.refusedResets),
      ]
    ).append(to: &writer.output.buffer)
    writer.output.flush()
  }

  private func notice(_ text: String, _ counters: KeyValuePairs<String, UInt64>) {
    writer.notice(.warning, time: time, text, counters)
  }

  private func describe(_ damage: CaptureFile.Problem) -> String {
    let place = "\(name), behind packet \(file.packets)" + (file.nextOffset.map { ", at byte \($0)" } ?? "")
    return switch damage {
    case .format(let text): "damaged file, \(place): \(text)"
    case .read(let code), .open(let code): "reading failed, \(place): \(errorText(code))"
    case .filter(let text), .linkType(let text): text
    }
  }

  private func status(_ damage: CaptureFile.Problem?, _ text: String?) -> ExitStatus {
    let diagnostics = Diagnostics(program: "tap-capture")
    if case .system(let operation, let code) = writer.output.failure {
      diagnostics.report("\(operation) failed: \(errorText(code))")
      return .inputOutput
    }
    guard let damage, let text, writer.output.failure == nil else { return .success }
    diagnostics.report(
      text, remedy: "What comes before it was read. libpcap takes one link type, snap length and byte order per file.")
    if case .read = damage { return .inputOutput }
    return .badInput
  }
}
