// The command line of tap-capture.
import ArgumentParser
import Glibc
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
    exit(loop.run(&stage).rawValue)
  }
}
