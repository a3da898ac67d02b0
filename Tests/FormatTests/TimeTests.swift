// Times and durations: the forms that docs/json.md promises, at the borders of their units and of the calendar.
import Support
import Testing

@Suite struct TimeTests {
  static let durations: [(UInt64, String)] = [
    (0, "0s"), (1, "1ns"), (850, "850ns"), (999, "999ns"), (1000, "1µs"), (1001, "1.001µs"), (100_129, "100.129µs"),
    (100_120, "100.12µs"), (999_999, "999.999µs"), (1_000_000, "1ms"), (1_500_000, "1.5ms"), (1_000_001, "1.000001ms"),
    (999_999_999, "999.999999ms"), (1_000_000_000, "1s"), (2_000_000_001, "2.000000001s"), (59_900_000_000, "59.9s"),
    (60_000_000_000, "1m0s"), (90_500_000_000, "1m30.5s"), (3_600_000_000_000, "1h0m0s"),
    (3_661_000_000_001, "1h1m1.000000001s"), (.max, "5124095h34m33.709551615s"),
  ]

  @Test(arguments: durations) func duration(_ nanoseconds: UInt64, _ expected: String) {
    var stream = Stream()
    stream.exchange(start: 0, end: .unsigned(nanoseconds), request: ["a": 1], response: nil)
    let line = Formatted(stream.ended).lines.first ?? ""
    #expect(line.contains("\"latency\":\"\(expected)\",\"latency_ns\":\(nanoseconds),"))
    let pretty = Formatted(stream.ended, style: .pretty(isColored: false)).lines
    #expect(pretty == ["■ ? ? 1 (no reply)  \(expected)"])
  }

  static let times: [(UInt64, Int64, String)] = [
    (0, 0, "\"1970-01-01T00:00:00.000000000Z\""),
    (123, 1_709_210_096_000_000_000, "\"2024-02-29T12:34:56.000000123Z\""),
    (1, 951_868_799_999_999_998, "\"2000-02-29T23:59:59.999999999Z\""),
    (2, 951_868_799_999_999_998, "\"2000-03-01T00:00:00.000000000Z\""),
    (0, 4_107_542_399_000_000_000, "\"2100-02-28T23:59:59.000000000Z\""),
    (1_000_000_000, 4_107_542_399_000_000_000, "\"2100-03-01T00:00:00.000000000Z\""),
    (0, -1, "\"1969-12-31T23:59:59.999999999Z\""),
    (0, .min, "\"1677-09-21T00:12:43.145224192Z\""),
    (0, .max, "\"2262-04-11T23:47:16.854775807Z\""),
    (1, .max, "null"), (.max, 0, "null"), (.max, .min, "null"),
  ]

  @Test(arguments: times) func time(_ time: UInt64, _ offset: Int64, _ expected: String) {
    var stream = Stream(wallClockOffset: offset)
    stream.exchange(start: .unsigned(time), end: nil, request: ["a": 1], response: nil)
    #expect(Formatted(stream.ended).lines.first?.hasPrefix("{\"time\":\(expected),") == true)
  }

  @Test func theSecondMayGoBack() {
    var stream = Stream()
    for second: Int64 in [5, 6, 5, 5] {
      stream.exchange(
        start: Item(integerLiteral: second * 1_000_000_000), end: nil, request: ["a": 1], response: nil)
    }
    let seconds = Formatted(stream.ended).lines.map { String($0.dropFirst(26).prefix(2)) }
    #expect(seconds == ["05", "06", "05", "05"])
  }
}
