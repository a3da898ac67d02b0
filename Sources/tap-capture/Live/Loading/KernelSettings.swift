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

  /// The next power of two, for a size within `ringBytesRange`.
  static func ringBytes(roundingUp bytes: Int) -> Int {
    bytes.nonzeroBitCount == 1 ? bytes : 1 << (Int.bitWidth - bytes.leadingZeroBitCount)
  }
}
