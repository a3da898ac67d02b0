// State per flow, found once for each frame: a hash table of ids that costs a few nanoseconds and keeps values in place.

/// Values by flow (or process) id.
///
/// Open addressing with linear probing and backward-shift deletion, so that there are no tombstones; the hash is seeded,
/// so that ids chosen by a hostile writer cannot make it slow. A pointer it returns is valid until the next insert or remove.
public struct FlowTable<Value>: ~Copyable {
  @usableFromInline var slots: UnsafeMutablePointer<(key: UInt64, value: Value?)>
  @usableFromInline var mask: Int
  public private(set) var count = 0
  @usableFromInline let seed: UInt64

  public init() {
    let capacity = 16
    mask = capacity - 1
    slots = .allocate(capacity: capacity)
    slots.initialize(repeating: (0, nil), count: capacity)
    seed = UInt64.random(in: 0...UInt64.max) | 1
  }

  deinit {
    slots.deinitialize(count: mask + 1)
    slots.deallocate()
  }

  @inlinable
  func home(_ key: UInt64) -> Int {
    // A multiply whose halves are folded: every bit of the key reaches the low bits of the index.
    let (high, low) = (key ^ seed).multipliedFullWidth(by: 0x9e37_79b9_7f4a_7c15)
    return Int(truncatingIfNeeded: high ^ low ^ (low >> 32)) & mask
  }

  @inlinable
  @inline(__always)
  func slot(of key: UInt64) -> Int? {
    var index = home(key)
    while slots[index].value != nil {
      if slots[index].key == key { return index }
      index = (index &+ 1) & mask
    }
    return nil
  }

  /// Whether there is a value for `key`.
  @inlinable public func contains(_ key: UInt64) -> Bool { slot(of: key) != nil }

  /// The value for `key`; assigning nil removes it.
  @inlinable
  public subscript(key: UInt64) -> Value? {
    @inline(__always)
    get {
      var index = home(key)
      while let value = slots[index].value {
        if slots[index].key == key { return value }
        index = (index &+ 1) & mask
      }
      return nil
    }
    set {
      if let newValue { insert(newValue, for: key) } else { remove(key) }
    }
  }

  @usableFromInline
  mutating func insert(_ value: Value, for key: UInt64) {
    if let index = slot(of: key) {
      slots[index].value = value
      return
    }
    if (count + 1) * 2 > mask + 1 { resize(to: (mask + 1) * 2) }
    place(key, value)
    count += 1
  }

  private mutating func place(_ key: UInt64, _ value: Value) {
    var index = home(key)
    while slots[index].value != nil { index = (index &+ 1) & mask }
    slots[index] = (key, value)
  }

  private mutating func resize(to capacity: Int) {
    let old = slots
    let oldCount = mask + 1
    slots = .allocate(capacity: capacity)
    slots.initialize(repeating: (0, nil), count: capacity)
    mask = capacity - 1
    for index in 0..<oldCount {
      if let value = old[index].value { place(old[index].key, value) }
    }
    old.deinitialize(count: oldCount)
    old.deallocate()
  }

  @usableFromInline
  mutating func remove(_ key: UInt64) {
    guard var hole = slot(of: key) else { return }
    count -= 1
    var index = (hole &+ 1) & mask
    while slots[index].value != nil {
      // Move back what would no longer be found with the hole before it.
      let distance = (index &- home(slots[index].key)) & mask
      if distance >= (index &- hole) & mask {
        slots[hole] = slots[index]
        hole = index
      }
      index = (index &+ 1) & mask
    }
    slots[hole] = (0, nil)
  }

  /// Forgets everything, and the memory with it.
  public mutating func removeAll() {
    slots.deinitialize(count: mask + 1)
    slots.deallocate()
    mask = 15
    slots = .allocate(capacity: 16)
    slots.initialize(repeating: (0, nil), count: 16)
    count = 0
  }

  /// The ids in no particular order.
  public var keys: [UInt64] {
    (0...mask).compactMap { slots[$0].value == nil ? nil : slots[$0].key }
  }
}
