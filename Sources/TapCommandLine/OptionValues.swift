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
    else { throw ValidationError("invalid time '\(text)'; expected a number above 0, alone or with us, ms, s, m or h") }
    nanoseconds = UInt64(number * unit.nanoseconds)
  }
}

/// A number of bytes like `16M`, `16MiB`, `65536`; at most 1 GiB.
package struct SizeOption: Equatable {
  package var bytes: Int

  private static let units: [(suffix: String, bytes: Double)] = [
    ("K", 0x1p10), ("KB", 0x1p10), ("KIB", 0x1p10), ("M", 0x1p20), ("MB", 0x1p20), ("MIB", 0x1p20),
    ("G", 0x1p30), ("GB", 0x1p30), ("GIB", 0x1p30), ("B", 1), ("", 1),
  ]

  package init(bytes: Int) { self.bytes = bytes }

  /// Throws ValidationError, which says what was expected.
  package init(parsing text: String) throws {
    let size = text.uppercased()
    guard let unit = SizeOption.units.first(where: { size.hasSuffix($0.suffix) }),
      let number = decimal(size.dropLast(unit.suffix.count)), (1...Double(1 << 30)).contains(number * unit.bytes)
    else {
      throw ValidationError("invalid size '\(text)'; expected a number from 1 to 1G, alone or with K, M or G")
    }
    bytes = Int(number * unit.bytes)
  }
}

/// Digits with at most one point: what `Double` accepts beyond that (`nan`, `0x1p3`) is a mistake here.
private func decimal(_ text: Substring) -> Double? {
  guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") }) else {
    return nil
  }
  return Double(text)
}
