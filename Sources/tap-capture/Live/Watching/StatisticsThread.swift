// --stats: a line each second, from a thread of its own, because the capture itself stands still while its reader does,
// which is when the line matters most.
import CaptureRecords
import CaptureSystem
import Glibc
import Synchronization
import TapWire

/// Shows how the capture goes on, from `start` to `stop`.
final class StatisticsThread: Sendable {
  private struct Published {
    var totals = CaptureTotals()
    var ringPeakBytes: UInt64 = 0
    var isStopped = false
  }

  private let published = Mutex(Published())
  private let ring: RingGauge
  private let losses: KernelCounters
  private let startNanoseconds = clockNanoseconds(CLOCK_MONOTONIC)
  /// On a terminal the line is rewritten; in a log each one stands for itself.
  private let isTerminal = isatty(STDERR_FILENO) != 0
  /// Closing the second wakes the thread, which waits at the first.
  private let wakeup: (reader: Int32, writer: Int32)

  private init(ring: RingGauge, losses: KernelCounters, wakeup: (reader: Int32, writer: Int32)) {
    self.ring = ring
    self.losses = losses
    self.wakeup = wakeup
  }

  /// `ring` and `losses` must stay valid until `stop`.
  static func start(ring: RingGauge, losses: KernelCounters) throws(CaptureFailure) -> StatisticsThread {
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else { throw LoadFailure.diagnose(errno, doing: "watch the capture") }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    let watcher = StatisticsThread(ring: ring, losses: losses, wakeup: (ends[0], ends[1]))
    // Signals are for the main thread.
    var all = sigset_t()
    var before = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_SETMASK, &all, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    var thread = pthread_t()
    let context = Unmanaged.passRetained(watcher)
    let failure = pthread_create(
      &thread, nil,
      { context in
        guard let context else { return nil }
        Unmanaged<StatisticsThread>.fromOpaque(context).takeRetainedValue().run()
        return nil
      }, context.toOpaque())
    guard failure == 0 else {
      context.release()
      throw LoadFailure.diagnose(failure, doing: "watch the capture")
    }
    pthread_detach(thread)
    return watcher
  }

  deinit { close(wakeup.reader) }

  /// What the main thread has done so far; `ringBytes` were in use before it took something out.
  func publish(_ totals: CaptureTotals, ringBytes: UInt64) {
    published.withLock {
      $0.totals = totals
      $0.ringPeakBytes = max($0.ringPeakBytes, ringBytes)
    }
  }

  /// Shows the last line. Nothing is read any more when this returns.
  func stop() {
    published.withLock { $0.isStopped = true }
    close(wakeup.writer)
  }

  private func run() {
    var earlier = CaptureSnapshot(nanoseconds: startNanoseconds)
    var due = startNanoseconds
    while true {
      due += 1_000_000_000
      let now = clockNanoseconds(CLOCK_MONOTONIC)
      var waiting = pollfd(fd: wakeup.reader, events: Int16(POLLIN), revents: 0)
      poll(&waiting, 1, due > now ? Int32((due - now + 999_999) / 1_000_000) : 0)
      // Under the lock, so that the memory behind the gauge cannot go away meanwhile.
      let line = published.withLock { published -> String? in
        guard !published.isStopped else { return nil }
        let snapshot = snapshot(&published)
        defer { earlier = snapshot }
        let seconds = (snapshot.nanoseconds - startNanoseconds) / 1_000_000_000
        return snapshot.line(since: earlier, seconds: seconds, ringSizeBytes: ring.sizeBytes)
      }
      guard let line else { return }
      show(line)
    }
  }

  private func snapshot(_ published: inout Published) -> CaptureSnapshot {
    defer { published.ringPeakBytes = 0 }
    let losses = losses.losses
    return CaptureSnapshot(
      nanoseconds: clockNanoseconds(CLOCK_MONOTONIC), totals: published.totals, ringBytes: ring.bytesInUse,
      ringPeakBytes: published.ringPeakBytes, lostBytes: losses.transfer_bytes, lostRecords: losses.transfer_records,
      dismissedFlows: self.losses.dismissed.flows)
  }

  private func show(_ line: String) {
    guard isTerminal else {
      Diagnostics(program: "tap-capture").report(line)
      return
    }
    // To the left edge, and what was longer before is erased (ECMA-48, EL).
    var text = "\rtap-capture: \(line)\u{1b}[K"
    text.withUTF8 { _ = Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }

  /// Ends the line that is being rewritten, so that a message begins at the left edge.
  func endLine() {
    if isTerminal { _ = Glibc.write(STDERR_FILENO, "\n", 1) }
  }
}
