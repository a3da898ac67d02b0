// The options of a packet in a pcapng file that tell of processes: its comments, its process, and which way it went.

/// What an enhanced packet block says beside the packet (draft-ietf-opsawg-pcapng, sections 3.5 and 4.3).
struct PacketOptions {
  /// Its comments, a line feed between them; empty if it has none.
  private(set) var comment: [UInt8] = []
  /// Whether the machine that captured it received (true) or sent it (false); nil where the file does not say.
  private(set) var isInbound: Bool?
  /// The number of a process block in the section, as macOS counts them (`PCAPNG_EPB_PIB_INDEX` of its pcap-ng.h).
  private(set) var processIndex: UInt32?

  init() {}

  init(_ bytes: UnsafeRawBufferPointer, isSwapped: Bool) {
    forEachOption(in: bytes, isSwapped: isSwapped) { code, value in
      switch code {
      case 1: add(comment: value)
      case 2:
        // epb_flags: the lowest two bits are 1 for inbound, 2 for outbound.
        let direction = PacketOptions.word(value, isSwapped).map { $0 & 3 }
        isInbound = direction == 1 ? true : direction == 2 ? false : nil
      case 0x8001: processIndex = PacketOptions.word(value, isSwapped)
      default: break
      }
    }
  }

  mutating func add(comment text: some Collection<UInt8>) {
    if !comment.isEmpty { comment.append(UInt8(ascii: "\n")) }
    comment += text
  }

  private static func word(_ value: UnsafeRawBufferPointer, _ isSwapped: Bool) -> UInt32? {
    guard value.count == 4 else { return nil }
    let word = value.loadUnaligned(as: UInt32.self)
    return isSwapped ? word.byteSwapped : word
  }
}

/// Walks over the options of a block, to the end or to the first that does not fit.
func forEachOption(
  in bytes: UnsafeRawBufferPointer, isSwapped: Bool, _ body: (_ code: UInt16, _ value: UnsafeRawBufferPointer) -> Void
) {
  func half(_ position: Int) -> UInt16 {
    let value = bytes.loadUnaligned(fromByteOffset: position, as: UInt16.self)
    return isSwapped ? value.byteSwapped : value
  }
  var position = 0
  while bytes.count - position >= 4 {
    let code = half(position)
    let length = Int(half(position + 2))
    position += 4
    guard code != 0, length <= bytes.count - position else { return }
    body(code, UnsafeRawBufferPointer(rebasing: bytes[position..<(position + length)]))
    position += (length + 3) & ~3
  }
}
