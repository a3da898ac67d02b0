// The command line of tap-resp.
import ArgumentParser
import TapWire

@main
struct TapResp: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tap-resp",
    abstract: "Decode Redis (RESP2 and RESP3) flows into exchanges.",
    version: tapVersion)

  func run() throws {
    installStageSignals()
    var stage = PassThrough()
    var loop = StageLoop(program: "tap-resp")
    throw ExitCode(loop.run(&stage).rawValue)
  }
}
