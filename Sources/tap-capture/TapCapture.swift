// The command line of tap-capture.
import ArgumentParser
import TapWire

@main
struct TapCapture: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tap-capture",
    abstract: "Capture the bytes that processes move over connections.",
    version: tapVersion)

  func run() throws {
    installStageSignals()
    var stage = PassThrough()
    var loop = StageLoop(program: "tap-capture")
    throw ExitCode(loop.run(&stage).rawValue)
  }
}
