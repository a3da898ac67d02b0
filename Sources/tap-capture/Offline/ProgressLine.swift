// How far the reading of a large file is, on a terminal only.
import Glibc

/// A line on stderr that is written over.
struct ProgressLine {
  /// Small files are over before anybody wonders.
  private static let firstSecond = 1.0
  private static let secondsBetween = 0.25

  private let isShown = isatty(STDERR_FILENO) == 1
  private let start = ProgressLine.now()
  private var next = ProgressLine.now() + ProgressLine.firstSecond
  private var isOnScreen = false

  private static func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  /// Call it often; it looks at the clock, and writes at most a few times a second.
  mutating func update(packets: UInt64, readBytes: UInt64, sizeBytes: UInt64?) {
    guard isShown else { return }
    let now = ProgressLine.now()
    guard now >= next else { return }
    next = now + ProgressLine.secondsBetween
    isOnScreen = true
    let share =
      sizeBytes.map { $0 == 0 ? "" : "\(min(100, readBytes / max(1, $0 / 100))) % of \($0 >> 20) MiB, " } ?? ""
    let speed = Int(Double(readBytes) / (now - start) / 1e6)
    write("\r\u{1b}[Ktap-capture: \(share)\(readBytes >> 20) MiB read, \(packets) packets, \(speed) MB/s")
  }

  /// Removes the line.
  mutating func clear() {
    if isOnScreen { write("\r\u{1b}[K") }
    isOnScreen = false
  }

  private func write(_ text: String) {
    var text = text
    text.withUTF8 { _ = Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }
}
