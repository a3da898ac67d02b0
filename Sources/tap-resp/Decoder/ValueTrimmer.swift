// Cuts the largest values of a message that is already CBOR, in place, so that small ones beside them stay whole.
import Glibc
import TapWire

/// Cuts strings inside CBOR to a common length and marks them with their full one (`WireTag.cut`).
package enum ValueTrimmer {
  /// What the mark costs at most: tag, array head, full length, and the head of the beginning.
  static let markBytes = 3 + 1 + 9 + 9

  /// The greatest length, a power of two, at which cutting all strings leaves at most `targetBytes`.
  ///
  /// `bytes` are runs of whole CBOR tokens; `comingBytes` is the length of a string that is not among them yet.
  static func threshold(for targetBytes: Int, of bytes: UnsafeRawBufferPointer, comingBytes: Int) -> Int {
    // How many strings there are, and their bytes, by the power of two above their length.
    var counts = [Int](repeating: 0, count: Int.bitWidth + 1)
    var sums = counts
    var other = bytes.count
    func note(_ length: Int) {
      let bucket = Int.bitWidth - length.leadingZeroBitCount
      counts[bucket] += 1
      sums[bucket] += length
    }
    note(comingBytes)
    var reader = CBORReader(bytes, streamOffset: 0)
    while !reader.isAtEnd, let head = try? reader.readHead() {
      guard head.major == .byteString || head.major == .textString else { continue }
      guard let string = try? reader.readPayload(of: head) else { break }
      note(string.count)
      other -= string.count
    }
    var length = 1 << 40
    while length > RESPLimits.smallestCutBytes {
      let exponent = length.trailingZeroBitCount
      var total = other
      for bucket in counts.indices {
        total += bucket <= exponent ? sums[bucket] : counts[bucket] * (length + markBytes)
      }
      if total <= targetBytes { break }
      length /= 2
    }
    return length
  }

  /// Whether a value in these items is cut.
  static func holdsCut(_ items: UnsafeRawBufferPointer) -> Bool {
    var reader = CBORReader(items, streamOffset: 0)
    while !reader.isAtEnd, let head = try? reader.readHead() {
      if head.major == .tag, head.argument == WireTag.cut { return true }
      let isString = head.major == .byteString || head.major == .textString
      if isString, (try? reader.readPayload(of: head)) == nil { break }
    }
    return false
  }

  /// Cuts all strings in `region`, a run of whole CBOR tokens, to `limit` bytes; returns how long the run is then.
  ///
  /// The tokens move towards the front of the region; what is behind them is left to the caller.
  package static func trim(_ region: UnsafeMutableRawBufferPointer, to limit: Int) -> Int {
    var none: [Int] = []
    return trim(region, to: limit, moving: &none)
  }

  /// The same; `positions` of tokens in the region, in ascending order, move with their tokens.
  static func trim(_ region: UnsafeMutableRawBufferPointer, to limit: Int, moving positions: inout [Int]) -> Int {
    var next = 0
    guard let base = region.baseAddress else { return 0 }
    var reader = CBORReader(UnsafeRawBufferPointer(region), streamOffset: 0)
    var written = 0
    // Tokens up to the end of a mark's beginning: tag, array head, full length, then a string, or the head of an array.
    var tokensOfMark = 0
    while !reader.isAtEnd {
      let start = region.count - reader.rest.count
      while next < positions.count, positions[next] <= start {
        positions[next] = written
        next += 1
      }
      guard let head = try? reader.readHead() else { break }
      let isString = head.major == .byteString || head.major == .textString
      guard isString, let payload = try? reader.readPayload(of: head) else {
        let length = region.count - reader.rest.count - start
        memmove(base + written, base + start, length)
        written += length
        if head.major == .tag, head.argument == WireTag.cut {
          tokensOfMark = 3
        } else if tokensOfMark > 0 {
          tokensOfMark -= 1
        }
        continue
      }
      let length = region.count - reader.rest.count - start
      let isInsideMark = tokensOfMark == 1
      tokensOfMark = 0
      if payload.count > limit + (isInsideMark ? 0 : markBytes) {
        let kept = prefixBytes(of: payload, limit: limit, isText: head.major == .textString)
        let mark = CutMark(fullLength: isInsideMark ? nil : payload.count, keptBytes: kept, major: head.major)
        // The mark is shorter than what is cut off, so that it cannot reach what is still to be read.
        memmove(base + written + mark.count, payload.baseAddress ?? UnsafeRawPointer(base), kept)
        mark.store(at: base + written)
        written += mark.count + kept
      } else {
        memmove(base + written, base + start, length)
        written += length
      }
    }
    while next < positions.count {
      positions[next] -= region.count - written
      next += 1
    }
    return written
  }

  /// The longest beginning of at most `limit` bytes that does not cut a character of a text in two.
  static func prefixBytes(of string: UnsafeRawBufferPointer, limit: Int, isText: Bool) -> Int {
    guard limit < string.count else { return string.count }
    guard isText else { return limit }
    var length = limit
    // Continuation bytes are 10xxxxxx; a character has at most three.
    while length > 0, length > limit - 4, string[length] & 0xc0 == 0x80 { length -= 1 }
    return length
  }
}

/// The bytes before a cut string's beginning: `tag(cut) [full length, "…`.
struct CutMark {
  private var bytes: (UInt64, UInt64, UInt64) = (0, 0, 0)
  private(set) var count = 0

  /// `fullLength` nil: the string stands inside a mark already, and only its own head is needed.
  init(fullLength: Int?, keptBytes: Int, major: CBORMajor) {
    var buffer = ByteBuffer(capacityBytes: 32)
    if let fullLength {
      buffer.appendTag(WireTag.cut)
      buffer.appendArrayHead(2)
      buffer.appendUnsigned(UInt64(fullLength))
    }
    buffer.appendHead(major, UInt64(keptBytes))
    count = buffer.count
    withUnsafeMutableBytes(of: &bytes) { $0.copyMemory(from: buffer.bytes) }
  }

  /// Puts the mark in the place of the bytes in `range`, the head of the string that was cut.
  func replace(_ range: Range<Int>, of buffer: inout ByteBuffer) {
    withUnsafeBytes(of: bytes) {
      buffer.replaceSubrange(range, with: UnsafeRawBufferPointer(rebasing: $0.prefix(count)))
    }
  }

  func store(at target: UnsafeMutableRawPointer) {
    withUnsafeBytes(of: bytes) { target.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(target), byteCount: count) }
  }
}
