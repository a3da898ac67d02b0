// Integers beyond 64 bits (RFC 8949, section 3.4.3): decimal, in time that a hostile length cannot blow up.
import TapWire

/// An integer of any size as CBOR carries it: big-endian bytes, for negative ones those of `-1 - value`.
struct Bignum {
  /// Conversion to decimal takes time by the square of the length; longer numbers are shown in hexadecimal.
  static let maximumDecimalBytes = 2048

  let bytes: UnsafeRawBufferPointer
  let isNegative: Bool

  /// Whether the number is short enough to be shown in decimal.
  var isDecimal: Bool { bytes.count <= Bignum.maximumDecimalBytes }

  /// Writes `-123…`, or `-0x7b…` where the number is longer than `maximumDecimalBytes`.
  func append(to sink: inout some TextSink & ~Copyable) {
    if isNegative { sink.append(UInt8(ascii: "-")) }
    if isDecimal { appendDecimal(to: &sink) } else { appendHexadecimal(to: &sink) }
  }

  /// The absolute value in 64-bit limbs, the lowest first, without zeros on top.
  private func magnitude() -> [UInt64] {
    var limbs: [UInt64] = []
    limbs.reserveCapacity(bytes.count / 8 + 2)
    var end = bytes.count
    while end > 0 {
      let start = max(0, end - 8)
      limbs.append(bytes[start..<end].reduce(0) { $0 << 8 | UInt64($1) })
      end = start
    }
    if isNegative { Bignum.increment(&limbs) }
    while limbs.last == 0 { limbs.removeLast() }
    return limbs
  }

  private static func increment(_ limbs: inout [UInt64]) {
    for index in limbs.indices {
      limbs[index] &+= 1
      if limbs[index] != 0 { return }
    }
    limbs.append(1)
  }

  private func appendDecimal(to sink: inout some TextSink & ~Copyable) {
    var limbs = magnitude()
    // 19 digits at a time, the lowest first: 10^19 is the largest power of ten below 2^64.
    var groups: [UInt64] = []
    while !limbs.isEmpty {
      var remainder: UInt64 = 0
      for index in limbs.indices.reversed() {
        (limbs[index], remainder) = (10_000_000_000_000_000_000 as UInt64).dividingFullWidth((remainder, limbs[index]))
      }
      groups.append(remainder)
      while limbs.last == 0 { limbs.removeLast() }
    }
    sink.appendDecimal(groups.popLast() ?? 0)
    for group in groups.reversed() { sink.appendDecimal(group, digits: 19) }
  }

  /// In place, however long it is: adding 1 to the bytes of a negative number changes those behind the last that is not 0xff.
  private func appendHexadecimal(to sink: inout some TextSink & ~Copyable) {
    let carriedInto = isNegative ? bytes.lastIndex { $0 != 0xff } ?? -1 : bytes.count
    sink.append("0x")
    var isLeading = carriedInto >= 0
    if !isLeading { sink.append(UInt8(ascii: "1")) }
    for index in bytes.indices {
      let byte = index < carriedInto ? bytes[index] : index == carriedInto ? bytes[index] + 1 : 0
      if isLeading, byte == 0 { continue }
      if !isLeading || byte >= 0x10 { sink.append(hexadecimalDigit(byte >> 4)) }
      sink.append(hexadecimalDigit(byte & 0xf))
      isLeading = false
      sink.drain()
    }
    if isLeading { sink.append(UInt8(ascii: "0")) }
  }
}

/// The lower-case digit for `value`, 0 to 15.
@inline(__always)
func hexadecimalDigit(_ value: UInt8) -> UInt8 {
  value < 10 ? UInt8(ascii: "0") &+ value : UInt8(ascii: "a") &+ (value &- 10)
}
