// What may stand on the command line, and what it means.
import ArgumentParser

/// A time like `10`, `1.5s`, `200ms`, `5m`, `2h`; seconds without a unit.
struct DurationOption: ExpressibleByArgument, Equatable {
  var nanoseconds: UInt64

  private static let units: [(suffix: String, nanoseconds: Double)] = [
    ("ms", 1e6), ("us", 1e3), ("s", 1e9), ("m", 60e9), ("h", 3600e9), ("", 1e9),
  ]

  init?(argument: String) {
    guard let unit = DurationOption.units.first(where: { argument.hasSuffix($0.suffix) }),
      let number = decimal(argument.dropLast(unit.suffix.count)), number > 0
    else { return nil }
    let nanoseconds = number * unit.nanoseconds
    // A century: no overflow when it is added to a clock.
    guard nanoseconds >= 1, nanoseconds < 3.2e18 else { return nil }
    self.nanoseconds = UInt64(nanoseconds)
  }
}

/// A number of bytes like `16M`, `16MiB`, `65536`.
struct SizeOption: ExpressibleByArgument, Equatable {
  var bytes: Int

  init(bytes: Int) { self.bytes = bytes }

  init?(argument: String) {
    var text = argument.uppercased()[...]
    if text.hasSuffix("IB") { text = text.dropLast(2) } else if text.hasSuffix("B") { text = text.dropLast() }
    let units: [Character: Double] = ["K": 1024, "M": 1_048_576, "G": 1_073_741_824]
    let unit = text.last.flatMap { units[$0] }
    guard let number = decimal(unit == nil ? text : text.dropLast()) else { return nil }
    let bytes = number * (unit ?? 1)
    guard bytes >= 1, bytes <= Double(KernelSettings.ringBytesRange.upperBound) else { return nil }
    self.bytes = Int(bytes)
  }

  var defaultValueDescription: String { "\(bytes >> 20)M" }
}

/// Digits with at most one point: what `Double` accepts beyond that (`nan`, `0x1p3`) is a mistake here.
private func decimal(_ text: Substring) -> Double? {
  guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") }) else {
    return nil
  }
  return Double(text)
}

extension CaptureDirection: ExpressibleByArgument {}

struct CaptureOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Capture connections whose local or remote port is this one. May be repeated.", valueName: "port"),
    transform: CaptureOptions.port)
  var port: [UInt16] = []

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Capture this process and its children, those that it will have included. May be repeated.", valueName: "pid"),
    transform: CaptureOptions.pid)
  var pid: [Int32] = []

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Capture where the process is the client (egress), where it is the server (ingress), or both (all).",
      valueName: "all|egress|ingress"))
  var direction = CaptureDirection.all

  @Option(
    name: .long,
    help: ArgumentHelp("Stop after this time: seconds, or a number with ms, s, m or h.", valueName: "time"))
  var duration: DurationOption?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Size of the ring between the kernel and this program, rounded up to a power of two; 256K to 1G. What does not fit "
        + "is lost, and its size is told.",
      valueName: "size"))
  var buffer = SizeOption(bytes: 16 << 20)

  @Flag(name: .long, help: "Show what libbpf and the kernel say while the kernel program is loaded.")
  var verbose = false

  @Argument(
    parsing: .postTerminator,
    help: ArgumentHelp(
      "A command to run and capture, with its children. Its standard output goes to standard error, and its exit status "
        + "is that of tap-capture.", valueName: "command"))
  var command: [String] = []

  func validate() throws {
    guard port.count <= KernelSettings.portsMaximum else {
      throw ValidationError("too many ports: expected at most \(KernelSettings.portsMaximum), found \(port.count)")
    }
  }

  static func port(_ text: String) throws -> UInt16 {
    guard let port = UInt16(text), port != 0 else {
      throw ValidationError("unknown port '\(text)'; expected a number from 1 to 65535")
    }
    return port
  }

  static func pid(_ text: String) throws -> Int32 {
    guard let pid = Int32(text), pid > 0 else {
      throw ValidationError("'\(text)' is no process id; expected a positive number")
    }
    return pid
  }

  var settings: KernelSettings {
    KernelSettings(
      ringBytes: KernelSettings.ringBytes(roundingUp: buffer.bytes), ports: port, direction: direction,
      filtersByProcess: !pid.isEmpty || !command.isEmpty)
  }
}
