// How far a capture has come, at a moment: what --stats shows.
import CaptureRecords

struct CaptureSnapshot: Sendable {
  /// CLOCK_MONOTONIC.
  var nanoseconds: UInt64
  var totals = CaptureTotals()
  /// Bytes of the ring in use now.
  var ringBytes: UInt64 = 0
  /// The most that was seen in use since the snapshot before.
  var ringPeakBytes: UInt64 = 0
  /// What the ring had no room for, since the start.
  var lostBytes: UInt64 = 0
  var lostRecords: UInt64 = 0
  var dismissedFlows: UInt64 = 0
}

extension CaptureSnapshot {
  /// One line about the time since `earlier`, in a capture that has run for `seconds`.
  func line(since earlier: CaptureSnapshot, seconds: UInt64, ringSizeBytes: Int) -> String {
    let elapsed = Double(max(1, nanoseconds &- earlier.nanoseconds)) / 1e9
    func rate(_ now: UInt64, _ before: UInt64) -> UInt64 { UInt64(Double(now &- min(now, before)) / elapsed) }
    func percent(_ bytes: UInt64) -> UInt64 { bytes * 100 / UInt64(max(1, ringSizeBytes)) }

    var parts = [
      "\(seconds) s", "\(grouped(totals.flows)) flows",
      "\(grouped(rate(totals.dataFrames, earlier.totals.dataFrames))) records/s",
      "\(sizeText(rate(totals.dataBytes, earlier.totals.dataBytes)))/s",
      "ring \(percent(ringBytes)) % (peak \(percent(max(ringPeakBytes, ringBytes))) %)",
    ]
    if lostRecords > 0 {
      let now = rate(lostBytes, earlier.lostBytes)
      parts.append("lost \(sizeText(lostBytes)) (now \(sizeText(now))/s)")
    } else {
      parts.append("lost 0")
    }
    // Bytes that the ring had no room for are in the gaps only when the reader has come that far: they stand above.
    let gaps = totals.gapBytes.filter { $0.reason != .ringFull }.map { "\(sizeText($0.bytes)) \($0.reason.rawValue)" }
    if !gaps.isEmpty { parts.append("gaps \(gaps.joined(separator: " + "))") }
    if dismissedFlows > 0 { parts.append("dismissed \(grouped(dismissedFlows))") }
    return parts.joined(separator: ", ")
  }
}

/// `1,234,567`
func grouped(_ number: UInt64) -> String {
  var text = ""
  for (index, digit) in String(number).reversed().enumerated() {
    if index > 0, index % 3 == 0 { text.append(",") }
    text.append(digit)
  }
  return String(text.reversed())
}

/// `999 B`, `1.2 MB`: decimal units, one digit behind the point.
func sizeText(_ bytes: UInt64) -> String {
  guard bytes >= 1000 else { return "\(bytes) B" }
  var tenths = bytes / 100
  var units = ["kB", "MB", "GB", "TB", "PB", "EB"][...]
  while tenths >= 10_000, units.count > 1 {
    tenths /= 1000
    units = units.dropFirst()
  }
  return "\(tenths / 10).\(tenths % 10) \(units.first ?? "")"
}
