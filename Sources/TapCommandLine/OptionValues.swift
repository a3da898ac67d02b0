// Times and sizes as they stand on the command line.
import ArgumentParser

/// A time like `10`, `1.5s`, `200ms`, `5m`, `2h`; seconds without a unit.
package struct DurationOption: ExpressibleByArgument, Equatable {
  package var nanoseconds: UInt64

  private static let units: [(suffix: String, nanoseconds: Double)] = [
    ("ms", 1e6), ("us", 1e3), ("s", 1e9), ("m", 60e9), ("h", 3600e9), ("", 1e9),
  ]

  package init?(argument: String) {
    guard let unit = DurationOption.units.first(where: { argument.hasSuffix($0.suffix) }),
      let number = decimal(argument.dropLast(unit.suffix.count)), number > 0
    else { return nil }
    let nanoseconds = number * unit.nanoseconds
    // A century: no overflow when it is added to a clock.
    guard nanoseconds >= 1, nanoseconds < 3.2e18 else { return nil }
    self.nanoseconds = UInt64(nanoseconds)
  }
}

/// A number of bytes like `16M`, `16MiB`, `65536`; at most 1 GiB.
package struct SizeOption: ExpressibleByArgument, Equatable {
  package var bytes: Int

  package init(bytes: Int) { self.bytes = bytes }

  package init?(argument: String) {
    var text = argument.uppercased()[...]
    if text.hasSuffix("IB") { text = text.dropLast(2) } else if text.hasSuffix("B") { text = text.dropLast() }
    let units: [Character: Double] = ["K": 1024, "M": 1_048_576, "G": 1_073_741_824]
    let unit = text.last.flatMap { units[$0] }
    guard let number = decimal(unit == nil ? text : text.dropLast()) else { return nil }
    let bytes = number * (unit ?? 1)
    guard bytes >= 1, bytes <= Double(1 << 30) else { return nil }
    self.bytes = Int(bytes)
  }

  package var defaultValueDescription: String { "\(bytes >> 20)M" }
}

/// Digits with at most one point: what `Double` accepts beyond that (`nan`, `0x1p3`) is a mistake here.
private func decimal(_ text: Substring) -> Double? {
  guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") }) else {
    return nil
  }
  return Double(text)
}
