// The fields of data frames, which are most of a stream: read with two checks in all instead of two for each field.

/// Reads the heads of a frame's fields without comparing each with the frame's end: that as many heads of the longest form
/// can be read is checked before, and that they lay inside of the frame afterwards.
@usableFromInline
struct QuickHeads {
  @usableFromInline var next: UnsafeRawPointer
  @usableFromInline let end: UnsafeRawPointer
  /// Becomes nonzero with the first head that is not as expected.
  @usableFromInline var faults: UInt8 = 0

  /// Nil where `heads` heads of nine bytes, the longest, might reach beyond what can be read.
  @inlinable
  @inline(__always)
  init?(_ frame: Frame, heads: Int) {
    guard Int(frame.readableBytes) &- Int(frame.fieldsStart) >= heads &* 9 else { return nil }
    next = frame.base + Int(frame.fieldsStart)
    end = frame.base + Int(frame.encodedBytes)
  }

  /// The argument of the next head, which should be of type `major`, not counting the bits `ignoring`.
  @inlinable
  @inline(__always)
  mutating func take(_ major: CBORMajor, ignoring: UInt8 = 0) -> UInt64 {
    let initial = next.load(as: UInt8.self) & ~ignoring ^ major.rawValue
    if initial < 24 {
      next += 1
      return UInt64(initial)
    }
    // 24 to 27 stand for 1, 2, 4 and 8 bytes; above are other types, reserved values and indefinite lengths.
    if initial > 27 { faults = 1 }
    let width = 1 &<< Int(initial & 3)
    let word = UInt64(bigEndian: next.loadUnaligned(fromByteOffset: 1, as: UInt64.self))
    next += 1 &+ width
    return word &>> UInt64(truncatingIfNeeded: 64 &- 8 &* width)
  }

  /// The next byte, for a value below 24; above that it is some other head.
  @inlinable
  @inline(__always)
  mutating func takeByte() -> UInt8 {
    let value = next.load(as: UInt8.self)
    next += 1
    return value
  }

  /// The next unsigned integer, which is long unless the clock started seconds ago.
  @inlinable
  @inline(__always)
  mutating func takeTime() -> UInt64 {
    guard next.load(as: UInt8.self) == CBORMajor.unsigned.rawValue | 27 else { return take(.unsigned) }
    let value = UInt64(bigEndian: next.loadUnaligned(fromByteOffset: 1, as: UInt64.self))
    next += 9
    return value
  }

  /// The last field, a string; nil if it, or anything before it, is not as expected, or does not end with the frame.
  @inlinable
  @inline(__always)
  mutating func takeLastString() -> UnsafeRawBufferPointer? {
    // A text string is accepted too: the bit that tells it from a byte string is dropped.
    let length = take(.byteString, ignoring: CBORMajor.byteString.rawValue ^ CBORMajor.textString.rawValue)
    let left = next.distance(to: end)
    guard faults == 0, left >= 0, length == UInt64(left) else { return nil }
    return UnsafeRawBufferPointer(start: next, count: Int(truncatingIfNeeded: length))
  }
}
