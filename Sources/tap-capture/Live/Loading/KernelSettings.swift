// What the kernel program is told before it is loaded. Filters that are not used cost nothing there.

/// The sides of connections to capture.
enum CaptureDirection: String, CaseIterable, Sendable {
  /// Both sides.
  case all
  /// Flows whose process is the client.
  case egress
  /// Flows whose process is the server.
  case ingress
}

/// Settings of the kernel program.
struct KernelSettings: Equatable, Sendable {
  /// Size of the ring; a power of two, at least a page.
  var ringBytes: Int
  /// Local or remote ports to capture; all if empty.
  var ports: [UInt16] = []
  var direction = CaptureDirection.all
  /// Whether only processes in the map `traced` are captured.
  var filtersByProcess = false

  static let ringBytesRange = (256 << 10)...(1 << 30)
  /// FILTER_PORTS_MAX of the kernel program.
  static let portsMaximum = 64

  /// The next power of two, within `ringBytesRange`.
  static func ringBytes(roundingUp bytes: Int) -> Int {
    let clamped = min(max(bytes, ringBytesRange.lowerBound), ringBytesRange.upperBound)
    return clamped.nonzeroBitCount == 1 ? clamped : 1 << (Int.bitWidth - clamped.leadingZeroBitCount)
  }
}
