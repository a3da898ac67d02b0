// Numbers as RESP3 writes them, into numbers as CBOR carries them.
import TapWire

/// Whether the text is an optional sign and digits.
func isDecimal(_ text: UnsafeRawBufferPointer) -> Bool {
  var digits = text[...]
  if let sign = digits.first, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") { digits = digits.dropFirst() }
  return !digits.isEmpty && digits.allSatisfy { (0x30...0x39).contains($0) }
}

/// The value of a decimal text, or nil where it does not fit 64 bits.
func parseInteger(_ text: UnsafeRawBufferPointer) -> Int64? {
  let isNegative = text.first == UInt8(ascii: "-")
  let start = isNegative || text.first == UInt8(ascii: "+") ? 1 : 0
  var value: Int64 = 0
  // Towards the sign, so that the smallest number has a place too.
  for byte in text[start...] {
    let digit = Int64(byte &- 0x30)
    let (shifted, overflow) = value.multipliedReportingOverflow(by: 10)
    let (sum, overflowToo) =
      isNegative ? shifted.subtractingReportingOverflow(digit) : shifted.addingReportingOverflow(digit)
    if overflow || overflowToo { return nil }
    value = sum
  }
  return value
}

/// A double of RESP3: `[<+|->]<integral>[.<fractional>][<E|e>[sign]<exponent>]`, `inf`, `-inf`, `nan`.
func parseDouble(_ text: UnsafeRawBufferPointer) -> Double? {
  let string = String(decoding: text, as: UTF8.self)
  switch string.lowercased() {
  case "inf", "+inf", "infinity": return .infinity
  case "-inf", "-infinity": return -.infinity
  // Some libc's print the sign of a NaN.
  case "nan", "-nan", "+nan": return .nan
  default: break
  }
  // What Swift's own parser takes beyond that (hexadecimal, "nan(…)") is not RESP.
  guard text.allSatisfy({ (0x30...0x39).contains($0) || "+-.eE".utf8.contains($0) }) else { return nil }
  return Double(string)
}

extension ByteBuffer {
  /// Digits beyond which a nested big number is sent as a text: converting it would no longer be linear.
  private static var maximumBignumDigits: Int { 4096 }

  /// Writes a decimal text as a bignum (RFC 8949, section 3.4.3): tag 2 for n, tag 3 for -1 - n, in network byte order.
  mutating func appendBignum(decimal text: UnsafeRawBufferPointer) {
    guard text.count <= ByteBuffer.maximumBignumDigits else { return appendText(text) }
    // Minus zero is zero: -1 - n has no n for it.
    let isNegative = text.first == UInt8(ascii: "-") && text.contains { (0x31...0x39).contains($0) }
    // Base 2^32, the lowest first.
    var limbs: [UInt32] = [0]
    func multiply(by factor: UInt64, adding: UInt64) {
      var carry = adding
      for index in limbs.indices {
        let product = UInt64(limbs[index]) * factor + carry
        limbs[index] = UInt32(truncatingIfNeeded: product)
        carry = product >> 32
      }
      if carry > 0 { limbs.append(UInt32(carry)) }
    }
    for byte in text where (0x30...0x39).contains(byte) { multiply(by: 10, adding: UInt64(byte - 0x30)) }
    if isNegative { subtractOne(from: &limbs) }
    var bytes: [UInt8] = []
    for limb in limbs.reversed() {
      for shift in [24, 16, 8, 0] { bytes.append(UInt8(truncatingIfNeeded: limb >> UInt32(shift))) }
    }
    let significant = bytes.drop { $0 == 0 }
    appendTag(isNegative ? WireTag.negativeBignum : WireTag.positiveBignum)
    appendHead(.byteString, UInt64(significant.count))
    for byte in significant { append(byte) }
  }

  private func subtractOne(from limbs: inout [UInt32]) {
    for index in limbs.indices {
      let (difference, borrow) = limbs[index].subtractingReportingOverflow(1)
      limbs[index] = difference
      if !borrow { return }
    }
  }
}
