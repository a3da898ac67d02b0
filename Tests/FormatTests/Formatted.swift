// What the tests of this target share: streams in, lines and messages out.
import Format
import Support
import TapWire

/// The output of tap-fmt for a stream.
struct Formatted {
  let run: StageRun
  /// What it said to a person about the stream.
  let messages: [String]

  var lines: [String] { run.lines }
  var text: String { run.text }

  init(_ input: [UInt8], style: Style = .json(), isVerbose: Bool = false) {
    let log = Log()
    var stage = FormatStage(style: style, isVerbose: isVerbose) { log.messages.append($0) }
    run = StageRun(&stage, program: FormatStage.program, input: input)
    messages = log.messages
  }

  private final class Log { var messages: [String] = [] }

  /// What `value` becomes inside a JSON line.
  static func json(of value: Item) -> String? {
    var stream = Stream()
    stream.exchange(request: ["value_under_test": value], response: nil)
    return member("value_under_test", of: Formatted(stream.ended).lines.first ?? "")
  }

  /// The text of a member that another of ours, `latency`, follows.
  private static func member(_ name: String, of line: String) -> String? {
    guard let start = line.firstRange(of: "\"\(name)\":"), let end = line.firstRange(of: ",\"latency\":") else {
      return nil
    }
    return String(line[start.upperBound..<end.lowerBound])
  }

  /// What `value` becomes in the request of a pretty line.
  static func pretty(of value: Item) -> String? {
    var stream = Stream()
    stream.exchange(end: nil, request: ["value": value], response: nil)
    let line = Formatted(stream.ended, style: .pretty(isColored: false)).lines.first ?? ""
    // By bytes: a combining mark at the beginning would be one character with the space before it.
    let (head, tail) = (Array("■ ? ? ".utf8), Array(" (no reply)".utf8))
    guard line.utf8.starts(with: head), line.hasSuffix(" (no reply)") else { return nil }
    return String(decoding: line.utf8.dropFirst(head.count).dropLast(tail.count), as: UTF8.self)
  }
}
