// The command line of tap-fmt.
import ArgumentParser
import TapWire

@main
struct TapFmt: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tap-fmt",
    abstract: "Print exchanges for people and programs.",
    version: tapVersion)

  func run() throws {
    installStageSignals()
    var stage = PassThrough()
    var loop = StageLoop(program: "tap-fmt")
    throw ExitCode(loop.run(&stage).rawValue)
  }
}
