// A packet's bytes, read in network order and never beyond what was captured.

/// A view of captured bytes whose reads say nil instead of leaving it.
struct PacketBytes {
  let bytes: UnsafeRawBufferPointer

  var count: Int { bytes.count }

  func byte(at position: Int) -> UInt8? {
    position >= 0 && position < bytes.count ? bytes[position] : nil
  }

  func uint16(at position: Int) -> UInt16? {
    guard position >= 0, bytes.count - position >= 2 else { return nil }
    return UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt16.self))
  }

  func uint32(at position: Int) -> UInt32? {
    guard position >= 0, bytes.count - position >= 4 else { return nil }
    return UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self))
  }

  func uint64(at position: Int) -> UInt64? {
    guard position >= 0, bytes.count - position >= 8 else { return nil }
    return UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self))
  }

  /// What stands behind the first `length` bytes; empty where there is less.
  func dropping(_ length: Int) -> PacketBytes {
    PacketBytes(bytes: UnsafeRawBufferPointer(rebasing: bytes.dropFirst(max(0, length))))
  }

  func prefix(_ length: Int) -> PacketBytes {
    PacketBytes(bytes: UnsafeRawBufferPointer(rebasing: bytes.prefix(max(0, length))))
  }
}
