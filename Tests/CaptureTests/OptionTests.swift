// What may stand on the command line.
import ArgumentParser
import TapCommandLine
import Testing

@testable import tap_capture

@Suite struct OptionTests {
  @Test(arguments: [
    ("10", 10_000_000_000), ("1.5", 1_500_000_000), ("1.5s", 1_500_000_000), ("200ms", 200_000_000), ("5us", 5000),
    ("2m", 120_000_000_000), ("1h", 3_600_000_000_000),
  ])
  func durations(text: String, nanoseconds: UInt64) throws {
    #expect(try DurationOption(parsing: text).nanoseconds == nanoseconds)
  }

  @Test(arguments: ["", "s", "-1", "0", "0ms", "nan", "inf", "1e3", "0x10", "1..5", "1 s", "99999999999h", "soon"])
  func noDurations(text: String) {
    #expect(throws: ValidationError.self) { try DurationOption(parsing: text) }
  }

  @Test(arguments: [
    ("65536", 65536), ("256K", 262_144), ("256k", 262_144), ("16M", 16_777_216), ("16MiB", 16_777_216),
    ("16MB", 16_777_216), ("65536B", 65536), ("64kb", 65536), ("1G", 1_073_741_824), ("1.5M", 1_572_864),
  ])
  func sizes(text: String, bytes: Int) throws {
    #expect(try SizeOption(parsing: text).bytes == bytes)
  }

  @Test(arguments: [
    "", "M", "0", "-1M", "2G", "99999999999999999999", "1T", "1IB", "IB", "B", "1KI", "big", "1 M", "0x10M",
  ])
  func noSizes(text: String) {
    #expect(throws: ValidationError.self) { try SizeOption(parsing: text) }
  }

  @Test(arguments: [
    ("256K", 262_144), ("262145", 524_288), ("3000000", 4_194_304), ("16M", 16_777_216), ("1G", 1_073_741_824),
  ])
  func ringsArePowersOfTwo(asked: String, given: Int) throws {
    #expect(KernelSettings.ringBytes(roundingUp: try CaptureOptions.ringSize(asked).bytes) == given)
  }

  @Test(arguments: ["1", "262143", "2G", "much"])
  func noRings(asked: String) {
    #expect(throws: ValidationError.self) { try CaptureOptions.ringSize(asked) }
  }

  @Test func aCommandLine() throws {
    let options = try CaptureOptions.parse([
      "--port", "6379", "--port", "80", "--direction", "ingress", "--pid", "12", "--", "make", "--port", "check",
    ])
    #expect(options.filters.port == [6379, 80])
    #expect(options.filters.direction == .ingress)
    #expect(options.filters.pid == [12])
    #expect(options.command == ["make", "--port", "check"])
  }

  @Test func statusesAsAShellGivesThem() {
    #expect(shellStatus(0) == 0)
    #expect(shellStatus(3 << 8) == 3)
    #expect(shellStatus(9) == 137)
    // With a core dump (bit 7).
    #expect(shellStatus(11 | 0x80) == 139)
  }
}
