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
          tap-capture | tap-resp --class write --key 'session:*' | tap-fmt

      Options that select exchanges compose: what is shown must satisfy all kinds of them, of one kind any. Pairing is done \
      before, so that a filtered stream is paired as the whole one is; notices and gaps are never hidden.
      """,
    version: tapVersion)

  @OptionGroup(title: "What is shown") var options: OutputOptions

  static func main() { launch() }

  func run() throws {
    var rules = try options.rules()
    if let path = options.hashKeys {
      let diagnostics = Diagnostics(program: "tap-resp")
      do throws(KeySalt.Failure) {
        let salt = try KeySalt(path: path)
        rules.redaction.keyHash = { salt.hash($0) }
      } catch {
        diagnostics.report(error.message, remedy: "Make one: head -c 32 /dev/urandom >\(path)")
        throw ExitCode(error.status.rawValue)
      }
    }
    let context = RedisContext(rules: rules)
    let sample = try options.connectionSample()
    installStageSignals()
    var stage = DecoderStage(
      judge: RedisEvidence.judge,
      claim: { id, evidence in
        // A decoder that does nothing takes the bytes of a connection that is not in the sample.
        sample?.includes(id, evidence) == false
          ? FlowDecoder() : RedisFlow(id: id, evidence: evidence, context: context)
      },
      excess: context.takeQuietest, finish: context.finish)
    var loop = StageLoop(program: "tap-resp")
    throw ExitCode(loop.run(&stage).rawValue)
  }
}
