// The command line of tap-resp.
import ArgumentParser
import RESP
import TapCommandLine
import TapWire

@main
struct TapResp: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tap-resp",
    abstract: "Decode Redis (RESP2 and RESP3) flows into exchanges.",
    discussion: """
      Reads TapWire on stdin and writes it to stdout: the data of Redis flows becomes exchanges, each a command with its \
      reply; everything else passes through. Passwords of AUTH, HELLO and the like are replaced.

          tap-capture | tap-resp | tap-fmt
      """,
    version: tapVersion)

  static func main() { launch() }

  func run() throws {
    installStageSignals()
    let context = RedisContext()
    var stage = DecoderStage(
      judge: RedisEvidence.judge,
      claim: { id, evidence in RedisFlow(id: id, evidence: evidence, context: context) },
      finish: context.finish)
    var loop = StageLoop(program: "tap-resp")
    throw ExitCode(loop.run(&stage).rawValue)
  }
}
