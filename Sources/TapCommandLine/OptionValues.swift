// Times and sizes as they stand on the command line.
import ArgumentParser

/// A time like `10`, `1.5s`, `200ms`, `5m`, `2h`; seconds without a unit.
package struct DurationOption: Equatable {
  package var nanoseconds: UInt64

  private static let units: [(suffix: String, nanoseconds: Double)] = [
    ("ms", 1e6), ("us", 1e3), ("s", 1e9), ("m", 60e9), ("h", 3600e9), ("", 1e9),
  ]

  /// Throws ValidationError, which says what was expected.
  package init(parsing text: String) throws {
    // A century at most: no overflow when it is added to a clock.
    guard let unit = DurationOption.units.first(where: { text.hasSuffix($0.suffix) }),
      let number = decimal(text.dropLast(unit.suffix.count)), (1..<3.2e18).contains(number * unit.nanoseconds)
    else { throw ValidationError("'\(text)' is no time; expected a number above 0, alone or with us, ms, s, m or h") }
    nanoseconds = UInt64(number * unit.nanoseconds)
  }
}

/// A number of bytes like `16M`, `16MiB`, `65536`; at most 1 GiB.
package struct SizeOption: Equatable {
  package var bytes: Int

  package init(bytes: Int) { self.bytes = bytes }

  /// Throws ValidationError, which says what was expected.
  package init(parsing text: String) throws {
    var digits = text.uppercased()[...]
    if digits.hasSuffix("IB") {
      digits = digits.dropLast(2)
    } else if digits.hasSuffix("B") {
      digits = digits.dropLast()
    }
    let units: [Character: Double] = ["K": 1024, "M": 1_048_576, "G": 1_073_741_824]
    let unit = digits.last.flatMap { units[$0] }
    let number = decimal(unit == nil ? digits : digits.dropLast()) ?? 0
    guard (1...Double(1 << 30)).contains(number * (unit ?? 1)) else {
      throw ValidationError("'\(text)' is no size; expected a number from 1 to 1G, alone or with K, M or G")
    }
    bytes = Int(number * (unit ?? 1))
  }
}

/// Digits with at most one point: what `Double` accepts beyond that (`nan`, `0x1p3`) is a mistake here.
private func decimal(_ text: Substring) -> Double? {
  guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") }) else {
    return nil
  }
  return Double(text)
}
