// What libpcap does not hand out of a pcapng file (draft-ietf-opsawg-pcapng): where a packet's block begins, and its options.

/// Follows the blocks of a pcapng file while its bytes pass on their way to libpcap.
///
/// libpcap reads the packets and judges the file. Where this scanner does not understand a block it stops quietly: the
/// packets that follow have no options then.
struct PacketBlocks {
  enum Format {
    /// Too few bytes have passed.
    case unknown
    case pcap
    case pcapng
    case other
  }

  /// A packet whose block has passed, in the order in which libpcap hands them out.
  struct Packet {
    let blockOffset: UInt64
    var options = PacketOptions()
  }

  private enum Part {
    /// The block's type, its length, and the word behind them.
    case head
    /// The rest of an enhanced packet block's fixed part.
    case packet
    case options
    /// The options of a process block.
    case process
  }

  private static let headBytes = 12
  private static let packetBytes = 16
  private static let trailerBytes = 4

  private(set) var format = Format.unknown
  private var packets: [Packet] = []
  /// What the process blocks of this section say, in the words of a comment.
  private var processes: [[UInt8]] = []
  private var processID: UInt32 = 0
  private var taken = 0
  private var part = Part.head
  /// Bytes of the part at hand that have come, of `wanted`.
  private var collected: [UInt8] = []
  private var wanted = PacketBlocks.headBytes
  /// Bytes to pass over before the next part.
  private var skipped: UInt64 = 0
  private var blockOffset: UInt64 = 0
  private var blockBytes: UInt64 = 0
  private var isSwapped = false
  private var isLost = false

  /// Where the block begins that libpcap reads next.
  var nextOffset: UInt64 {
    if taken < packets.count { return packets[taken].blockOffset }
    let isBehindBlock = part == .head && skipped == 0 && !isLost
    return isBehindBlock ? blockOffset + blockBytes : blockOffset
  }

  /// The options of the packet that libpcap has just handed out.
  mutating func takePacket() -> PacketOptions {
    guard taken < packets.count else { return PacketOptions() }
    let packet = packets[taken]
    taken += 1
    if taken == packets.count {
      packets.removeAll(keepingCapacity: true)
      taken = 0
    }
    return packet.options
  }

  /// Bytes of the file, in order.
  mutating func pass(_ bytes: UnsafeRawBufferPointer) {
    var rest = bytes[...]
    while !rest.isEmpty, !isLost {
      if skipped > 0 {
        let length = min(skipped, UInt64(rest.count))
        skipped -= length
        rest = rest.dropFirst(Int(length))
      } else if collected.isEmpty, rest.count >= wanted {
        let part = UnsafeRawBufferPointer(rebasing: rest.prefix(wanted))
        rest = rest.dropFirst(wanted)
        take(part)
      } else {
        let missing = rest.prefix(wanted - collected.count)
        collected += missing
        rest = rest.dropFirst(missing.count)
        if collected.count == wanted {
          let whole = collected
          collected.removeAll(keepingCapacity: true)
          whole.withUnsafeBytes { take($0) }
        }
      }
    }
  }

  private mutating func take(_ bytes: UnsafeRawBufferPointer) {
    switch part {
    case .head: beginBlock(bytes)
    case .packet: beginPacket(bytes)
    case .options:
      takeOptions(PacketOptions(bytes, isSwapped: isSwapped))
      expectBlock(behind: UInt64(PacketBlocks.trailerBytes))
    case .process:
      takeProcess(bytes)
      expectBlock(behind: UInt64(PacketBlocks.trailerBytes))
    }
  }

  private mutating func takeOptions(_ options: PacketOptions) {
    guard !packets.isEmpty else { return }
    var options = options
    if let index = options.processIndex, index < processes.count { options.add(comment: processes[Int(index)]) }
    packets[packets.count - 1].options = options
  }

  /// The process block of macOS' tcpdump: a number, and options of which the second is the name (pcap-ng.h there).
  private mutating func takeProcess(_ options: UnsafeRawBufferPointer) {
    guard processes.count < OfflineLimits.comments else { return }
    var text = Array("PID: \(processID)".utf8)
    forEachOption(in: options, isSwapped: isSwapped) { code, value in
      if code == 2 { text += "\nComm: ".utf8 + Array(value) }
    }
    processes.append(text)
  }

  private func word(_ bytes: UnsafeRawBufferPointer, at position: Int) -> UInt32 {
    let value = bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self)
    return isSwapped ? value.byteSwapped : value
  }

  private mutating func expectBlock(behind bytes: UInt64) {
    skipped = bytes
    part = .head
    wanted = PacketBlocks.headBytes
  }

  private mutating func beginBlock(_ bytes: UnsafeRawBufferPointer) {
    blockOffset += blockBytes
    let sectionHeader: UInt32 = 0x0a0d_0d0a
    let type = word(bytes, at: 0)
    if type == sectionHeader {
      // Each section has a byte order of its own.
      let mark = bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self)
      isSwapped = mark.byteSwapped == 0x1a2b_3c4d
      isLost = !isSwapped && mark != 0x1a2b_3c4d
      processes.removeAll()
      if format == .unknown { format = .pcapng }
    } else if format == .unknown {
      format = PacketBlocks.isClassic(type) ? .pcap : .other
      isLost = true
    }
    let length = word(bytes, at: 4)
    guard !isLost, length >= UInt32(PacketBlocks.headBytes), length % 4 == 0 else {
      isLost = true
      return
    }
    blockBytes = UInt64(length)
    let behindHead = blockBytes - UInt64(PacketBlocks.headBytes)
    let trailer = UInt64(PacketBlocks.trailerBytes)
    switch type {
    case 6 where behindHead >= UInt64(PacketBlocks.packetBytes) + trailer:  // enhanced packet block
      packets.append(Packet(blockOffset: blockOffset))
      part = .packet
      wanted = PacketBlocks.packetBytes
    case 0x8000_0001 where behindHead > trailer && behindHead <= UInt64(OfflineLimits.processBlockBytes):
      processID = word(bytes, at: 8)
      part = .process
      wanted = Int(behindHead - trailer)
    case 2, 3:  // obsolete and simple packet blocks
      packets.append(Packet(blockOffset: blockOffset))
      expectBlock(behind: behindHead)
    default:
      expectBlock(behind: behindHead)
    }
  }

  private mutating func beginPacket(_ bytes: UnsafeRawBufferPointer) {
    let paddedBytes = (UInt64(word(bytes, at: 8)) + 3) & ~3
    let left =
      blockBytes - UInt64(PacketBlocks.headBytes + PacketBlocks.packetBytes + PacketBlocks.trailerBytes)
    let (optionBytes, isNegative) = left.subtractingReportingOverflow(paddedBytes)
    isLost = isNegative
    guard !isNegative, optionBytes > 0, optionBytes <= UInt64(OfflineLimits.optionBytes) else {
      expectBlock(behind: left + UInt64(PacketBlocks.trailerBytes))
      return
    }
    skipped = paddedBytes
    part = .options
    wanted = Int(optionBytes)
  }

  /// The magic numbers of pcap files with microseconds and nanoseconds, in both byte orders (draft-ietf-opsawg-pcap).
  private static func isClassic(_ word: UInt32) -> Bool {
    [0xa1b2_c3d4, 0xa1b2_3c4d].contains(word) || [0xa1b2_c3d4, 0xa1b2_3c4d].contains(word.byteSwapped)
  }
}
