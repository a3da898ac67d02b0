// The command line of tap-merge.
import ArgumentParser
import Merge
import TapCommandLine
import TapWire

@main
struct TapMerge: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: MergeStage.program,
    abstract: "Join the client's and the server's view of one exchange.",
    discussion: """
      Reads TapWire on stdin and writes it on stdout. Where a capture holds both ends of a connection, the two views of an \
      exchange become one, with the latencies of both. Views that do not match for certain pass unchanged.

          tap-capture | tap-resp | tap-merge | tap-fmt
      """,
    version: tapVersion)

  static func main() { launch() }

  func run() throws {
    installStageSignals()
    var stage = MergeStage()
    var loop = StageLoop(program: MergeStage.program)
    throw ExitCode(loop.run(&stage).rawValue)
  }
}
