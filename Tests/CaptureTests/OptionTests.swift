// What may stand on the command line.
import TapCommandLine
import Testing

@testable import tap_capture

@Suite struct OptionTests {
  @Test(arguments: [
    ("10", 10_000_000_000), ("1.5", 1_500_000_000), ("1.5s", 1_500_000_000), ("200ms", 200_000_000), ("5us", 5000),
    ("2m", 120_000_000_000), ("1h", 3_600_000_000_000),
  ])
  func durations(text: String, nanoseconds: UInt64) {
    #expect(DurationOption(argument: text)?.nanoseconds == nanoseconds)
  }

  @Test(arguments: ["", "s", "-1", "0", "0ms", "nan", "inf", "1e3", "0x10", "1..5", "1 s", "99999999999h", "soon"])
  func noDurations(text: String) {
    #expect(DurationOption(argument: text) == nil)
  }

  @Test(arguments: [
    ("65536", 65536), ("256K", 262_144), ("256k", 262_144), ("16M", 16_777_216), ("16MiB", 16_777_216),
    ("16MB", 16_777_216), ("1G", 1_073_741_824), ("1.5M", 1_572_864),
  ])
  func sizes(text: String, bytes: Int) {
    #expect(SizeOption(argument: text)?.bytes == bytes)
  }

  @Test(arguments: ["", "M", "0", "-1M", "2G", "99999999999999999999", "1T", "big", "1 M", "0x10M"])
  func noSizes(text: String) {
    #expect(SizeOption(argument: text) == nil)
  }

  @Test(arguments: [
    (1, 262_144), (262_144, 262_144), (262_145, 524_288), (3_000_000, 4_194_304), (16_777_216, 16_777_216),
    (1_073_741_824, 1_073_741_824), (Int.max, 1_073_741_824),
  ])
  func ringsArePowersOfTwo(asked: Int, given: Int) {
    #expect(KernelSettings.ringBytes(roundingUp: asked) == given)
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
