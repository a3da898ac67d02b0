// Numbers as text, written by hand: they stand in every line, and no library call without an allocation does it.
import TapWire

extension TextSink where Self: ~Copyable {
  /// Writes `value` in decimal.
  @inline(__always)
  mutating func appendDecimal(_ value: UInt64) {
    write(upTo: 20) { target in
      let digits = decimalDigits(value)
      storeDecimal(value, digits: digits, at: target)
      return digits
    }
  }

  /// Writes `value` in decimal with zeros in front, `digits` (at most 20) in all.
  @inline(__always)
  mutating func appendDecimal(_ value: UInt64, digits: Int) {
    write(upTo: 20) { target in
      storeDecimal(value, digits: digits, at: target)
      return digits
    }
  }

  /// Writes `-1 - complement`, the value of a CBOR negative integer (RFC 8949, section 3.1); it may need 65 bits.
  mutating func appendNegative(complement: UInt64) {
    let (magnitude, overflow) = complement.addingReportingOverflow(1)
    if overflow {
      append("-18446744073709551616")
    } else {
      append(UInt8(ascii: "-"))
      appendDecimal(magnitude)
    }
  }

  /// Writes a finite `value` as the shortest text that reads back as the same double; `inf`, `-inf` and `nan` otherwise.
  mutating func appendDouble(_ value: Double) {
    var text = value.description
    text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
  }
}

/// How many decimal digits `value` has.
@inline(__always)
private func decimalDigits(_ value: UInt64) -> Int {
  var digits = 1
  var rest = value
  while rest >= 10_000 {
    rest /= 10_000
    digits &+= 4
  }
  if rest >= 1000 { return digits &+ 3 }
  if rest >= 100 { return digits &+ 2 }
  return rest >= 10 ? digits &+ 1 : digits
}

/// Writes the last `digits` digits of `value`; `target` has room for them.
@inline(__always)
private func storeDecimal(_ value: UInt64, digits: Int, at target: UnsafeMutableBufferPointer<UInt8>) {
  var rest = value
  var position = digits
  while position > 0 {
    position &-= 1
    let (quotient, digit) = rest.quotientAndRemainder(dividingBy: 10)
    target[position] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: digit)
    rest = quotient
  }
}
