// An IP address of either family as numbers: compared and hashed for every packet, written as text once a flow.

/// IPv4 is kept in RFC 4291's mapped form.
struct IPAddress: Hashable {
  let high: UInt64
  let low: UInt64
  let isIPv6: Bool

  init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
    isIPv6 = true
  }

  init(version4 address: UInt32) {
    high = 0
    low = 0xffff_0000_0000 | UInt64(address)
    isIPv6 = false
  }

  /// As RFC 5952 writes it.
  var text: String {
    if !isIPv6 {
      return (0..<4).map { String(UInt8(truncatingIfNeeded: low >> UInt64(24 - $0 * 8))) }.joined(separator: ".")
    }
    let groups = (0..<8).map { UInt16(truncatingIfNeeded: ($0 < 4 ? high : low) >> UInt64(48 - ($0 % 4) * 16)) }
    // The first of the longest runs of zero groups, of two at least, is shortened.
    var longest = 0..<0
    var start = 0
    while start < 8 {
      var end = start
      while end < 8, groups[end] == 0 { end += 1 }
      if end - start > max(longest.count, 1) { longest = start..<end }
      start = max(end, start + 1)
    }
    func join(_ part: ArraySlice<UInt16>) -> String { part.map { String($0, radix: 16) }.joined(separator: ":") }
    return longest.isEmpty
      ? join(groups[...]) : "\(join(groups[..<longest.lowerBound]))::\(join(groups[longest.upperBound...]))"
  }
}
