// The command line of tap-capture.
import ArgumentParser
import TapCommandLine
import TapWire

@main
struct TapCapture: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tap-capture",
    abstract: "Capture the bytes that processes move over connections.",
    version: tapVersion)

  @Option(
    name: [.short, .long], help: ArgumentHelp("Read packets from a pcap or pcapng file; - is stdin.", valueName: "file")
  )
  var read: String

  @Argument(help: "With --read: only packets that match, in the syntax of pcap-filter(7).")
  var filter: String?

  static func main() { launch() }

  func run() throws {
    installStageSignals()
    do {
      var capture = try OfflineCapture(path: read, filter: filter)
      throw ExitCode(capture.run(name: read).rawValue)
    } catch let problem as CaptureFile.Problem {
      throw Self.report(problem)
    }
  }

  private static func report(_ problem: CaptureFile.Problem) -> ExitCode {
    let diagnostics = Diagnostics(program: "tap-capture")
    if problem.isFilter {
      diagnostics.report("the filter is wrong: \(problem.text)", remedy: "See pcap-filter(7) for its syntax.")
      return ExitCode(ExitStatus.usage.rawValue)
    }
    diagnostics.report(problem.text, remedy: "--read takes a pcap or pcapng file of TCP over IP.")
    return ExitCode(ExitStatus.badInput.rawValue)
  }
}
