// Integers beyond 64 bits (RFC 8949, section 3.4.3): decimal, in time that a hostile length cannot blow up.
import TapWire

/// An integer of any size as CBOR carries it: big-endian bytes, for negative ones those of `-1 - value`.
struct Bignum {
  /// Conversion to decimal takes time by the square of the length; longer numbers are shown in hexadecimal.
  static let maximumDecimalBytes = 1024

  let bytes: UnsafeRawBufferPointer
  let isNegative: Bool

  /// Writes `-123…`, or `-0x7b…` where the number is longer than `maximumDecimalBytes`.
  func append(to sink: inout some TextSink & ~Copyable) {
    if isNegative { sink.append(UInt8(ascii: "-")) }
    var limbs = magnitude()
    if bytes.count > Bignum.maximumDecimalBytes {
      appendHexadecimal(limbs, to: &sink)
    } else {
      appendDecimal(&limbs, to: &sink)
    }
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

  private func appendDecimal(_ limbs: inout [UInt64], to sink: inout some TextSink & ~Copyable) {
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

  private func appendHexadecimal(_ limbs: [UInt64], to sink: inout some TextSink & ~Copyable) {
    sink.append("0x")
    var isLeading = true
    for limb in limbs.reversed() {
      for shift in stride(from: 60, through: 0, by: -4) {
        let digit = UInt8(truncatingIfNeeded: limb >> UInt64(shift)) & 0xf
        if isLeading, digit == 0 { continue }
        isLeading = false
        sink.append(hexadecimalDigit(digit))
      }
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
