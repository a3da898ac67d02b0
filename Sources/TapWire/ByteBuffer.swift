// Growable bytes that every stage writes its frames into: no copy on write, no zeroing, no reference counting.
import Glibc

/// A uniquely owned, growable run of bytes.
///
/// Writing never allocates once the buffer has reached its working size: `removeAll` keeps the memory,
/// `shrink(toCapacityBytes:)` gives it back after an unusually large frame.
@frozen
public struct ByteBuffer: ~Copyable {
  @usableFromInline var base: UnsafeMutablePointer<UInt8>
  @usableFromInline var capacity: Int
  @usableFromInline var used: Int

  /// An empty buffer with room for `capacityBytes` (at least 16).
  public init(capacityBytes: Int) {
    capacity = max(16, capacityBytes)
    base = ByteBuffer.resized(nil, toBytes: capacity)
    used = 0
  }

  deinit { free(base) }

  /// Bytes in use.
  @inlinable public var count: Int { used }
  @inlinable public var isEmpty: Bool { used == 0 }

  /// The bytes in use. Valid until the next mutation.
  @inlinable public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

  /// The bytes in use, for changing them in place. Valid until the next mutation.
  @inlinable public var mutableBytes: UnsafeMutableRawBufferPointer {
    mutating get { UnsafeMutableRawBufferPointer(start: base, count: count) }
  }

  /// Makes room for `additionalBytes` more without moving the bytes in use again.
  @inlinable
  public mutating func reserve(_ additionalBytes: Int) {
    if capacity &- count < additionalBytes { grow(by: additionalBytes) }
  }

  @usableFromInline
  @inline(never)
  mutating func grow(by additionalBytes: Int) {
    let needed = count + additionalBytes
    // Doubling keeps appending linear; above 8 MiB by a quarter, so that the slack stays small beside the limits.
    let stepped = capacity < 8 << 20 ? capacity * 2 : capacity + capacity / 4
    resize(toCapacityBytes: max(needed, stepped))
  }

  mutating func resize(toCapacityBytes newCapacity: Int) {
    base = ByteBuffer.resized(base, toBytes: newCapacity)
    capacity = newCapacity
  }

  /// malloc's own memory: it moves large blocks by their pages, without a second copy of them (mremap(2)).
  private static func resized(_ block: UnsafeMutablePointer<UInt8>?, toBytes count: Int) -> UnsafeMutablePointer<UInt8>
  {
    guard let resized = realloc(block, count) else { fatalError("out of memory: \(count) bytes wanted") }
    return resized.assumingMemoryBound(to: UInt8.self)
  }

  /// Forgets the bytes and keeps the memory.
  @inlinable public mutating func removeAll() { used = 0 }

  /// Gives memory beyond `capacityBytes` back, if the bytes in use allow it.
  public mutating func shrink(toCapacityBytes limit: Int) {
    let target = max(16, limit)
    if capacity > target, count <= target { resize(toCapacityBytes: target) }
  }

  /// Forgets everything behind the first `newCount` bytes.
  @inlinable
  public mutating func truncate(to newCount: Int) {
    precondition(newCount >= 0 && newCount <= count)
    used = newCount
  }

  /// Removes the bytes in `range` and moves what is behind them.
  public mutating func removeSubrange(_ range: Range<Int>) { _ = makeHole(in: range, lengthBytes: 0) }

  /// Puts `replacement`, which must not lie in this buffer, in the place of the bytes in `range`, and moves what is behind
  /// them once.
  public mutating func replaceSubrange(_ range: Range<Int>, with replacement: UnsafeRawBufferPointer) {
    let hole = makeHole(in: range, lengthBytes: replacement.count)
    if let start = replacement.baseAddress { hole.copyMemory(from: start, byteCount: replacement.count) }
  }

  /// Moves what is behind `range` so that `length` bytes stand in its place, and returns where they are to be written.
  mutating func makeHole(in range: Range<Int>, lengthBytes length: Int) -> UnsafeMutableRawPointer {
    precondition(range.lowerBound >= 0 && range.upperBound <= count && length >= 0)
    reserve(max(0, length - range.count))
    let hole = base + range.lowerBound
    (hole + length).update(from: base + range.upperBound, count: count - range.upperBound)
    used += length - range.count
    return UnsafeMutableRawPointer(hole)
  }

  @inlinable
  public mutating func append(_ byte: UInt8) {
    reserve(1)
    base[count] = byte
    used &+= 1
  }

  @inlinable
  public mutating func append(_ source: UnsafeRawBufferPointer) {
    guard let start = source.baseAddress else { return }
    reserve(source.count)
    UnsafeMutableRawPointer(base + count).copyMemory(from: start, byteCount: source.count)
    used &+= source.count
  }

  /// Appends bytes and returns whether all of them are ASCII.
  @inlinable
  public mutating func appendTellingASCII(_ source: UnsafeRawBufferPointer) -> Bool {
    guard let start = source.baseAddress else { return true }
    reserve(source.count)
    defer { used &+= source.count }
    return copyTellingASCII(from: start, to: UnsafeMutableRawPointer(base + count), bytes: source.count)
  }

  @inlinable
  @inline(__always)
  public mutating func append(_ source: StaticString) {
    append(UnsafeRawBufferPointer(start: source.utf8Start, count: source.utf8CodeUnitCount))
  }

  @inlinable
  public mutating func append(_ source: String) {
    var source = source
    source.withUTF8 { append(UnsafeRawBufferPointer($0)) }
  }

  /// Where the next byte goes: what `reserve` made room for may be written there, and counts once `useTail` says so.
  @inlinable public var unusedTail: UnsafeMutableRawPointer { mutating get { UnsafeMutableRawPointer(base + used) } }

  /// How many bytes there is room for.
  @inlinable public var unusedBytes: Int { capacity &- used }

  /// Counts `written` bytes behind those in use, which the caller has written to `unusedTail`.
  @inlinable
  public mutating func useTail(_ written: Int) {
    precondition(written >= 0 && written <= capacity &- used)
    used &+= written
  }

  /// Lets `body` write up to `capacityBytes` bytes at the end and return how many it wrote.
  @inlinable
  public mutating func append<Failure: Error>(
    capacityBytes: Int, _ body: (UnsafeMutableBufferPointer<UInt8>) throws(Failure) -> Int
  ) throws(Failure) {
    reserve(capacityBytes)
    let written = try body(UnsafeMutableBufferPointer(start: base + count, count: capacityBytes))
    precondition(written >= 0 && written <= capacityBytes)
    used &+= written
  }

  /// Replaces one byte already written.
  @inlinable
  public subscript(position: Int) -> UInt8 {
    get {
      precondition(position >= 0 && position < count)
      return base[position]
    }
    set {
      precondition(position >= 0 && position < count)
      base[position] = newValue
    }
  }
}
