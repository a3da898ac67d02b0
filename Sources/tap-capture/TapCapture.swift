// The command line of tap-capture.
import ArgumentParser
import Glibc
import TapCommandLine
import TapWire

@main
struct TapCapture: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tap-capture",
    abstract: "Capture the bytes that processes move over connections.",
    usage: """
      tap-capture [<options>]
      tap-capture [<options>] -- <command> [<argument> ...]
      tap-capture --read <file> [<expression>]
      tap-capture --check
      """,
    discussion: """
      Writes TapWire to standard output, for tap-resp, tap-http, tap-merge, tap-fmt or a file. A live capture stops at \
      Ctrl-C or SIGTERM, when its reader exits, after --duration, or when the command that it runs exits.
      """,
    version: tapVersion)

  @OptionGroup(title: "Live capture") var live: CaptureOptions

  @Option(
    name: [.short, .long],
    help: ArgumentHelp("Read packets from a pcap or pcapng file instead; - is stdin.", valueName: "file"))
  var read: String?

  @Flag(
    name: .long,
    help: "Show what this machine allows, and a remedy for each failure; the exit status says whether a capture works.")
  var check = false

  @Argument(
    help: ArgumentHelp(
      "With --read: only packets that match, in the syntax of pcap-filter(7).", valueName: "expression"))
  var expression: [String] = []

  static func main() { launch() }

  func validate() throws {
    if check, try read != nil || !expression.isEmpty || live.firstGivenOption(besides: "verbose") != nil {
      throw ValidationError("--check stands alone; expected at most --verbose beside it")
    }
    guard read != nil else {
      // ArgumentParser takes a `--` with nothing behind it for no command at all, which would capture the whole machine.
      if live.command.isEmpty, CommandLine.arguments.last == "--" {
        throw ValidationError("nothing follows --; expected a command")
      }
      if let first = expression.first {
        throw ValidationError("unexpected '\(first)'; a command goes after --, and a filter expression needs --read")
      }
      return
    }
    if !live.command.isEmpty {
      throw ValidationError("--read runs no command; expected only a filter expression beside it")
    }
    if let option = try live.firstGivenOption() {
      throw ValidationError(
        "the option for \(option) is for live captures; expected only a filter expression beside --read")
    }
  }

  func run() throws {
    if check {
      throw ExitCode(MachineCheck.run(verbose: live.verbose).rawValue)
    }
    do {
      if let read {
        try RecordingFile.check()
        throw readPackets(from: read)
      }
      throw ExitCode(try CaptureSession(live).run())
    } catch let failure as CaptureFailure {
      Diagnostics(program: "tap-capture").report(failure.message, remedy: failure.remedy)
      throw ExitCode(failure.status.rawValue)
    }
  }

  private func readPackets(from path: String) -> ExitCode {
    // What feeds a pipe gets the Ctrl-C too, and its end is waited for; a file is read no further.
    if path == "-" { installStageSignals() } else { CaptureSignals.install(hasCommand: false) }
    do throws(CaptureFile.Problem) {
      let filter = expression.isEmpty ? nil : expression.joined(separator: " ")
      var capture = try OfflineCapture(path: path, filter: filter)
      return ExitCode(capture.run().rawValue)
    } catch {
      return Self.report(error, path == "-" ? "stdin" : path)
    }
  }

  private static func report(_ problem: CaptureFile.Problem, _ name: String) -> ExitCode {
    let diagnostics = Diagnostics(program: "tap-capture")
    let status: ExitStatus
    switch problem {
    case .filter(let text):
      diagnostics.report("the filter expression is wrong: \(text)", remedy: "See pcap-filter(7) for its syntax.")
      status = .usage
    case .open(let code):
      diagnostics.report("cannot open \(name): \(errorText(code))", remedy: "--read takes a pcap or pcapng file, or -.")
      status = code == EACCES || code == EPERM ? .noPermission : .noInput
    case .read(let code):
      diagnostics.report("cannot read \(name): \(errorText(code))", remedy: "--read takes a pcap or pcapng file, or -.")
      status = .inputOutput
    case .linkType(let type):
      diagnostics.report(
        "\(name) holds packets of link type \(type), which is not supported",
        remedy: "Expected Ethernet, Linux cooked, raw IP or loopback: capture on an interface of these.")
      status = .badInput
    case .format(let text):
      diagnostics.report(
        "\(name) is not a capture file: \(text)",
        remedy: "Expected pcap or pcapng. A compressed one is read through a pipe: zcat FILE | tap-capture --read -")
      status = .badInput
    }
    return ExitCode(status.rawValue)
  }
}
