// `N\r\n`, the line behind `*` and `$`, read across any split without looking at a byte twice.

/// What the protocol does not allow. The decoder looks for the next boundary behind it.
package struct Malformed: Error {}

/// A signed decimal number that ends in CRLF, as far as it has been read.
struct NumberLine {
  private var value: Int64 = 0
  private var digits = 0
  private var isNegative = false
  private var sawReturn = false

  /// Whether nothing of it has been read.
  @inline(__always) var isAtStart: Bool { digits == 0 && !isNegative && !sawReturn }

  /// Reads on from `position`; nil where the line goes on behind the bytes. Whoever gets a number starts a new line.
  @inline(__always)
  mutating func read(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) throws(Malformed) -> Int64? {
    while position < bytes.count {
      let byte = bytes[position]
      position &+= 1
      let digit = byte &- 0x30
      if digit <= 9, !sawReturn {
        // 18 digits cannot overflow; redis-server's largest length has 19, which no peer can send.
        guard digits < 18 else { throw Malformed() }
        value = value &* 10 &+ Int64(digit)
        digits &+= 1
      } else if byte == UInt8(ascii: "\n"), sawReturn {
        guard digits > 0 else { throw Malformed() }
        return isNegative ? 0 &- value : value
      } else if byte == UInt8(ascii: "\r"), !sawReturn {
        sawReturn = true
      } else if byte == UInt8(ascii: "-"), digits == 0, !isNegative, !sawReturn {
        isNegative = true
      } else {
        throw Malformed()
      }
    }
    return nil
  }
}
