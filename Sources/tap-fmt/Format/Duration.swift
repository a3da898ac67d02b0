// How long an exchange took, as Go prints durations: the unit fits the size, and nothing is rounded.
import TapWire

extension TextSink where Self: ~Copyable {
  /// Writes `850ns`, `100.129µs`, `1.5ms`, `2.000000001s`, `1m0.5s` or `2h0m0s`: the largest unit that leaves a whole part
  /// (above a second all of hours, minutes and seconds), every digit that matters, no zeros behind them. Zero is `0s`.
  mutating func appendDuration(_ nanoseconds: UInt64) {
    switch nanoseconds {
    case 0: append("0s")
    case ..<1000:
      appendDecimal(nanoseconds)
      append("ns")
    case ..<1_000_000:
      appendFraction(nanoseconds, digits: 3, unit: 1000)
      append("µs")
    case ..<1_000_000_000:
      appendFraction(nanoseconds, digits: 6, unit: 1_000_000)
      append("ms")
    default: appendSeconds(nanoseconds)
    }
  }

  private mutating func appendSeconds(_ nanoseconds: UInt64) {
    let minute: UInt64 = 60_000_000_000
    let minutes = nanoseconds / minute
    if minutes >= 60 {
      appendDecimal(minutes / 60)
      append(UInt8(ascii: "h"))
    }
    if minutes > 0 {
      appendDecimal(minutes % 60)
      append(UInt8(ascii: "m"))
    }
    appendFraction(nanoseconds % minute, digits: 9, unit: 1_000_000_000)
    append(UInt8(ascii: "s"))
  }

  /// Writes `value / unit`, where `unit` is ten to the power of `digits`.
  @inline(__always)
  private mutating func appendFraction(_ value: UInt64, digits: Int, unit: UInt64) {
    appendDecimal(value / unit)
    var fraction = value % unit
    if fraction == 0 { return }
    var shown = digits
    while fraction % 10 == 0 {
      fraction /= 10
      shown &-= 1
    }
    append(UInt8(ascii: "."))
    appendDecimal(fraction, digits: shown)
  }
}
