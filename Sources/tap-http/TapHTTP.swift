// The command line of tap-http.
import ArgumentParser
import TapCommandLine
import TapWire

@main
struct TapHTTP: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tap-http",
    abstract: "Decode HTTP. This version does not decode yet; it forwards everything.",
    version: tapVersion)

  static func main() { launch() }

  func run() throws {
    installStageSignals()
    var stage = PassThrough()
    var loop = StageLoop(program: "tap-http")
    throw ExitCode(loop.run(&stage).rawValue)
  }
}
