// Whether names are distinct: a JSON object with the same name twice loses one of them in most readers.
import Glibc
import TapWire

/// A set of map keys that lie in one piece of memory, with 4 bytes or fewer for each while it grows to millions.
struct KeySet: ~Copyable {
  /// Up to this many keys are compared one by one, which is cheaper than hashing.
  private static let linearKeys = 12

  /// Where `positions` count from.
  private var base = UnsafeRawBufferPointer(start: nil, count: 0)
  /// Positions of the keys' items from `base`, in order while there are few, hashed beyond; `vacant` elsewhere.
  private var positions: [UInt32] = []
  private var count = 0
  private static let vacant = UInt32.max

  /// Forgets the keys, to begin with others that lie within `base`, which is shorter than 4 GiB.
  mutating func removeAll(within base: UnsafeRawBufferPointer) {
    self.base = base
    positions.removeAll(keepingCapacity: positions.count <= KeySet.linearKeys)
    count = 0
  }

  /// Adds the key at the start of `item` whose content is `key`. False if it is there already.
  mutating func insert(_ key: UnsafeRawBufferPointer, at item: UnsafeRawBufferPointer) -> Bool {
    guard let start = base.baseAddress, let place = item.baseAddress else { return false }
    let position = UInt32(truncatingIfNeeded: place - start)
    if positions.count < KeySet.linearKeys {
      for index in positions.indices where equal(content(at: positions[index]), key) { return false }
      positions.append(position)
      count += 1
      return true
    }
    if count == KeySet.linearKeys || (count + 1) * 8 > positions.count * 7 { grow() }
    guard let slot = freeSlot(for: key) else { return false }
    positions[slot] = position
    count += 1
    return true
  }

  private func content(at position: UInt32) -> UnsafeRawBufferPointer {
    // It was read when it was inserted, so it can be read again.
    stringKey(UnsafeRawBufferPointer(rebasing: base[Int(position)...])) ?? UnsafeRawBufferPointer(start: nil, count: 0)
  }

  /// Where `key` belongs, or nil if it is there.
  private func freeSlot(for key: UnsafeRawBufferPointer) -> Int? {
    // Seeded per process, so that no choice of keys makes it slow.
    var hasher = Hasher()
    hasher.combine(bytes: key)
    let mask = positions.count - 1
    var slot = hasher.finalize() & mask
    while positions[slot] != KeySet.vacant {
      if equal(content(at: positions[slot]), key) { return nil }
      slot = (slot + 1) & mask
    }
    return slot
  }

  private mutating func grow() {
    let old = positions
    positions = Array(repeating: KeySet.vacant, count: max(64, old.count * 2))
    for position in old where position != KeySet.vacant {
      if let slot = freeSlot(for: content(at: position)) { positions[slot] = position }
    }
  }
}

/// The content of the item at the start of `bytes` if it is a string that is valid UTF-8: text, bytes or a simple string.
func stringKey(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
  var reader = CBORReader(bytes, streamOffset: 0)
  do throws(WireError) {
    var head = try reader.readHead()
    if head.major == .tag, head.argument == WireTag.simpleString { head = try reader.readHead() }
    guard head.major == .textString || head.major == .byteString else { return nil }
    let content = try reader.readPayload(of: head)
    return isValidUTF8(content) ? content : nil
  } catch {
    return nil
  }
}

@inline(__always)
func equal(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
  guard left.count == right.count else { return false }
  guard let a = left.baseAddress, let b = right.baseAddress else { return true }
  return memcmp(a, b, left.count) == 0
}
