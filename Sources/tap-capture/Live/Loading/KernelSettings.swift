// What the kernel program is told before it is loaded. Filters that are not used cost nothing there.
import CaptureRecords

/// Settings of the kernel program.
struct KernelSettings: Equatable {
  /// Size of the ring; a power of two within `ringBytesRange`.
  var ringBytes: Int
  /// What to capture.
  var filters = ResolvedFilters()
  /// Whether only processes in the map `traced` are captured.
  var filtersByProcess = false
  /// Bytes to record of one call; all if nil.
  var bytesPerCallMaximum: UInt32?

  static let ringBytesRange = (256 << 10)...(1 << 30)

  /// The next power of two, within `ringBytesRange`.
  static func ringBytes(roundingUp bytes: Int) -> Int {
    let clamped = min(max(bytes, ringBytesRange.lowerBound), ringBytesRange.upperBound)
    return clamped.nonzeroBitCount == 1 ? clamped : 1 << (Int.bitWidth - clamped.leadingZeroBitCount)
  }
}
