// The time of day of an exchange (RFC 3339), with the date worked out once a second instead of once a line.
import TapWire

/// Turns the capture's monotonic times into UTC text.
struct WallClock: ~Copyable {
  /// What to add to a time for nanoseconds since 1970-01-01T00:00:00Z.
  var offsetNanoseconds: Int64 = 0
  /// The second whose `YYYY-MM-DDThh:mm:ss` is in `text`.
  private var second: Int64 = .min
  private var text = ByteBuffer(capacityBytes: 32)

  private static let nanosecondsPerSecond: Int64 = 1_000_000_000
  private static let secondsPerDay: Int64 = 86_400

  /// Writes `"2026-07-28T20:04:49.000000123Z"`, or `null` where the time is beyond what 64 bits of nanoseconds reach.
  @inline(__always)
  mutating func append(_ time: UInt64, to sink: inout some TextSink & ~Copyable) {
    let (sum, overflow) = Int64(truncatingIfNeeded: time).addingReportingOverflow(offsetNanoseconds)
    guard time <= UInt64(Int64.max), !overflow else { return sink.append("null") }
    // Rounded down, also before 1970.
    var (now, nanoseconds) = sum.quotientAndRemainder(dividingBy: WallClock.nanosecondsPerSecond)
    if nanoseconds < 0 {
      now &-= 1
      nanoseconds &+= WallClock.nanosecondsPerSecond
    }
    if now != second { begin(now) }
    sink.append(UInt8(ascii: "\""))
    sink.append(text.bytes)
    sink.append(UInt8(ascii: "."))
    sink.appendDecimal(UInt64(nanoseconds), digits: 9)
    sink.append("Z\"")
  }

  @inline(never)
  private mutating func begin(_ now: Int64) {
    second = now
    var day = now / WallClock.secondsPerDay
    var rest = now % WallClock.secondsPerDay
    if rest < 0 {
      day -= 1
      rest += WallClock.secondsPerDay
    }
    let date = civilDate(daysSince1970: day)
    text.removeAll()
    text.appendDecimal(UInt64(date.year), digits: 4)
    text.append(UInt8(ascii: "-"))
    text.appendDecimal(UInt64(date.month), digits: 2)
    text.append(UInt8(ascii: "-"))
    text.appendDecimal(UInt64(date.day), digits: 2)
    text.append(UInt8(ascii: "T"))
    text.appendDecimal(UInt64(rest / 3600), digits: 2)
    text.append(UInt8(ascii: ":"))
    text.appendDecimal(UInt64(rest / 60 % 60), digits: 2)
    text.append(UInt8(ascii: ":"))
    text.appendDecimal(UInt64(rest % 60), digits: 2)
  }
}

/// The proleptic Gregorian date, for the years that 64 bits of nanoseconds reach: 1677 to 2262.
private func civilDate(daysSince1970 day: Int64) -> (year: Int64, month: Int64, day: Int64) {
  // Years that begin in March put the leap day last; 719,468 days lie between 0000-03-01 and 1970-01-01, and 146,097
  // make 400 years.
  let shifted = day + 719_468
  let era = shifted / 146_097
  let dayOfEra = shifted % 146_097
  let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
  let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
  let monthFromMarch = (5 * dayOfYear + 2) / 153
  let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
  let year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0)
  return (year, month, dayOfYear - (153 * monthFromMarch + 2) / 5 + 1)
}
