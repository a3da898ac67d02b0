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
    discussion: """
      Writes TapWire to standard output, for tap-resp, tap-http, tap-fmt or a file. A live capture stops at Ctrl-C, at \
      SIGTERM, when its reader ends, after --duration, or when the command it runs has ended.
      """,
    version: tapVersion)

  @OptionGroup(title: "Live capture") var live: CaptureOptions

  @Option(
    name: [.short, .long],
    help: ArgumentHelp("Read packets from a pcap or pcapng file instead; - is stdin.", valueName: "file"))
  var read: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "With --read: only packets that match, in the syntax of pcap-filter(7).", valueName: "expression"))
  var filter: String?

  static func main() { launch() }

  func run() throws {
    if let read {
      throw readPackets(from: read)
    }
    do {
      throw ExitCode(try CaptureSession(live).run())
    } catch let failure as CaptureFailure {
      Diagnostics(program: "tap-capture").report(failure.message, remedy: failure.remedy)
      throw ExitCode(failure.status.rawValue)
    }
  }

  private func readPackets(from path: String) -> ExitCode {
    installStageSignals()
    do {
      var capture = try OfflineCapture(path: path, filter: filter)
      return ExitCode(capture.run(name: path).rawValue)
    } catch {
      return Self.report(error)
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
