// The command line of tap-fmt.
import ArgumentParser
import Format
import Glibc
import TapCommandLine
import TapWire

@main
struct TapFmt: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: FormatStage.program,
    abstract: "Print exchanges for people and programs.",
    discussion: """
      Reads TapWire on stdin and writes a line for each exchange on stdout: → where the process is the client, ← where \
      it is the server. Reports on stderr what is missing in the stream.

          tap-capture | tap-resp | tap-fmt
          tap-capture | tap-resp | tap-fmt --json | jq .command
      """,
    version: tapVersion)

  enum Coloring: String, ExpressibleByArgument, CaseIterable {
    case auto, always, never
  }

  @Flag(help: "Print one JSON object per line (docs/json.md).")
  var json = false

  @Flag(help: "With --json: show the labels of containers.")
  var labels = false

  @Option(help: "Color the lines: auto (on a terminal, unless NO_COLOR is set), always or never.")
  var color = Coloring.auto

  @Flag(help: "Show all warnings (otherwise the first 20), informational notices, and the totals at the end.")
  var verbose = false

  static func main() { launch() }

  func validate() throws {
    if labels, !json { throw ValidationError("--labels needs --json: lines for people show no labels") }
  }

  func run() throws {
    installStageSignals()
    let diagnostics = Diagnostics(program: FormatStage.program)
    var stage = FormatStage(
      style: json ? .json(showsLabels: labels) : .pretty(isColored: isColored), isVerbose: verbose
    ) { message in
      diagnostics.report(message)
    }
    var loop = StageLoop(program: FormatStage.program)
    throw ExitCode(loop.run(&stage).rawValue)
  }

  /// A terminal is colored unless the user objects (https://no-color.org: set and not empty) or it cannot be.
  private var isColored: Bool {
    switch color {
    case .always: return true
    case .never: return false
    case .auto:
      return isatty(STDOUT_FILENO) == 1 && environment("NO_COLOR").isEmpty && environment("TERM") != "dumb"
    }
  }

  private func environment(_ name: String) -> String { getenv(name).map { String(cString: $0) } ?? "" }
}
