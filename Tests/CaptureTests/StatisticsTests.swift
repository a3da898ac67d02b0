// The line of --stats.
import Testing

@testable import tap_capture

@Suite struct StatisticsTests {
  @Test(
    arguments: [
      (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_250_000, "1.2 MB"), (999_999, "999.9 kB"), (1_000_000, "1.0 MB"),
      (UInt64.max, "18.4 EB"),
    ] as [(UInt64, String)])
  func sizes(bytes: UInt64, text: String) {
    #expect(sizeText(bytes) == text)
  }

  @Test(arguments: [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] as [(UInt64, String)])
  func numbers(number: UInt64, text: String) {
    #expect(grouped(number) == text)
  }

  @Test func aQuietSecond() {
    let start = CaptureSnapshot(nanoseconds: 5_000_000_000)
    let now = CaptureSnapshot(nanoseconds: 6_000_000_000)
    #expect(
      now.line(since: start, seconds: 1, ringSizeBytes: 1 << 20)
        == "1 s, 0 flows, 0 records/s, 0 B/s, ring 0 % (peak 0 %), lost 0")
  }

  /// Rates are those of the time that really passed; losses and gaps are sums.
  @Test func aBadSecond() {
    var earlier = CaptureSnapshot(nanoseconds: 0)
    earlier.totals.dataFrames = 1000
    earlier.totals.dataBytes = 1_000_000
    earlier.lostBytes = 500_000
    var now = earlier
    now.nanoseconds = 2_000_000_000
    now.totals.flows = 12
    now.totals.dataFrames = 3001
    now.totals.dataBytes = 25_000_000
    now.totals.countGap(2_500_000, .ringFull)
    now.totals.countGap(64_000, .sendfile)
    now.totals.countGap(7, .cut)
    now.ringBytes = 512 << 10
    now.ringPeakBytes = 1 << 20
    now.lostBytes = 2_500_000
    now.lostRecords = 9
    now.dismissedFlows = 3
    #expect(
      now.line(since: earlier, seconds: 7, ringSizeBytes: 1 << 20)
        == "7 s, 12 flows, 1,000 records/s, 12.0 MB/s, ring 50 % (peak 100 %), lost 2.5 MB (now 1.0 MB/s), "
        + "gaps 64.0 kB sendfile + 7 B cut, dismissed 3")
  }
}
