// What may stand on the command line of a live capture, besides its filters.
import ArgumentParser
import TapCommandLine

struct CaptureOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Capture at most this many bytes of each call that sends or receives; the rest becomes a gap.", valueName: "size"),
    transform: SizeOption.init(parsing:))
  var maxBytes: SizeOption?

  @Option(
    name: .long,
    help: ArgumentHelp("Stop after this time: seconds, or a number with us, ms, s, m or h.", valueName: "time"),
    transform: DurationOption.init(parsing:))
  var duration: DurationOption?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Size of the ring between the kernel and this program, 256K to 1G, rounded up to a power of two. Bytes that do not "
        + "fit are lost and counted. (default: 16M)",
      valueName: "size"),
    transform: CaptureOptions.ringSize)
  var buffer = SizeOption(bytes: 16 << 20)

  @Flag(name: .long, help: "Show rates, how full the ring is, and losses on standard error, once a second.")
  var stats = false

  @Option(
    name: .long,
    help: ArgumentHelp(
      "How to read the bytes: fentry (kernel 6.1 or later), tracepoint (6.3 or later), or the best that works here (auto).",
      valueName: "auto|fentry|tracepoint"))
  var engine = EngineChoice.auto

  @Flag(
    name: .long,
    help: "Show what libbpf and the kernel say while the kernel program is loaded, and why an engine is not used.")
  var verbose = false

  @OptionGroup(title: "Filters of a live capture") var filters: FilterOptions

  @Argument(
    parsing: .postTerminator,
    help: ArgumentHelp(
      "A command to run and capture, with its descendants. Its standard output goes to standard error; tap-capture exits "
        + "with its exit status.", valueName: "command"))
  var command: [String] = []

  /// The size of the ring; throws where the kernel program could not have one of that size.
  static func ringSize(_ text: String) throws -> SizeOption {
    let size = try SizeOption(parsing: text)
    guard KernelSettings.ringBytesRange.contains(size.bytes) else {
      throw ValidationError("a ring of \(text) is not possible; expected 256K to 1G")
    }
    return size
  }
}
