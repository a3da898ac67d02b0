// The options of a packet in a pcapng file that tell of processes: its comments, and which way it went.

/// What an enhanced packet block says beside the packet (draft-ietf-opsawg-pcapng, sections 3.5 and 4.3).
struct PacketOptions {
  /// Its comments, a line feed between them; empty if it has none.
  private(set) var comment: [UInt8] = []
  /// Whether the machine that captured it received (true) or sent it (false); nil where the file does not say.
  private(set) var isInbound: Bool?

  init() {}

  init(_ bytes: UnsafeRawBufferPointer, isSwapped: Bool) {
    func half(_ position: Int) -> UInt16 {
      let value = bytes.loadUnaligned(fromByteOffset: position, as: UInt16.self)
      return isSwapped ? value.byteSwapped : value
    }
    var position = 0
    while bytes.count - position >= 4 {
      let code = half(position)
      let length = Int(half(position + 2))
      position += 4
      guard code != 0, length <= bytes.count - position else { break }
      if code == 1 {
        if !comment.isEmpty { comment.append(UInt8(ascii: "\n")) }
        comment += bytes[position..<(position + length)]
      } else if code == 2, length == 4 {
        // epb_flags: the lowest two bits are 1 for inbound, 2 for outbound.
        let flags = bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self)
        switch (isSwapped ? flags.byteSwapped : flags) & 3 {
        case 1: isInbound = true
        case 2: isInbound = false
        default: isInbound = nil
        }
      }
      position += (length + 3) & ~3
    }
  }
}
