// The last stage of a pipeline: frames in, lines out.
import TapWire

/// How exchanges are shown.
package enum Style: Sendable {
  /// A line for people, with escape sequences for color if asked for.
  case pretty(isColored: Bool)
  /// A JSON object a line, with the labels of containers if asked for.
  case json(showsLabels: Bool = false)
}

/// Prints exchanges to the output, and what the stream says about itself to `report`.
package struct FormatStage: Stage, ~Copyable {
  /// The name under which the stage's own loop speaks.
  package static let program = "tap-fmt"

  private let isJSON: Bool
  private let showsLabels: Bool
  private let prettyLine: PrettyLine
  private var jsonLine = JSONLine()
  private var clock = WallClock()
  private var descriptions = Descriptions()
  private var losses: Losses

  /// `report` takes one message for a person at a time; with `isVerbose` also those that are only for information.
  package init(style: Style, isVerbose: Bool, report: @escaping (String) -> Void) {
    switch style {
    case .json(let labels):
      isJSON = true
      showsLabels = labels
      prettyLine = PrettyLine(palette: .none)
    case .pretty(let isColored):
      isJSON = false
      showsLabels = false
      prettyLine = PrettyLine(palette: isColored ? .terminal : .none)
    }
    losses = Losses(program: FormatStage.program, isVerbose: isVerbose, report: report)
  }

  package mutating func receive(_ frame: Frame, into output: inout Output) throws(WireError) {
    switch frame.kind {
    case .exchange: try print(try ExchangeFrame(frame), within: frame, to: &output)
    case .process: try describe(try ProcessFrame(frame))
    case .flow: describe(try FlowFrame(frame))
    case .connection: try describe(try ConnectionFrame(frame))
    case .close: descriptions.closeFlow(try CloseFrame(frame).flow)
    case .exit: descriptions.endProcess(try ExitFrame(frame).process)
    case .data: noteUndecoded(try DataFrame(frame))
    case .gap: losses.note(try GapFrame(frame))
    case .hello: clock.offsetNanoseconds = try HelloFrame(frame).wallClockOffset
    case .notice:
      let notice = try NoticeFrame(frame)
      // On a terminal the message then stands behind the exchanges that came before it.
      output.flush()
      losses.note(notice)
    case .end:
      let end = try EndFrame(frame)
      output.flush()
      losses.end(end, forgotten: descriptions.forgotten)
      descriptions = Descriptions()
    default: break
    }
  }

  /// Nothing is pending between lines; the ids are forgotten with the end frame that follows.
  package mutating func endScope(into output: inout Output) {}

  private mutating func print(
    _ exchange: ExchangeFrame, within frame: Frame, to output: inout Output
  ) throws(WireError) {
    let flow = descriptions.flow(exchange.flow)
    let process = (exchange.process ?? flow?.process).flatMap { descriptions.process($0) }
    let server = try exchange.server.map { view throws(WireError) in try ServerView(view) }
    let peer = (server?.process ?? flow?.peerProcess).flatMap { descriptions.process($0) }
    if isJSON {
      try jsonLine.append(
        exchange, within: frame, flow: flow, process: process, peer: peer, server: server, clock: &clock, to: &output)
    } else {
      try prettyLine.append(exchange, flow: flow, process: process, peer: peer, server: server, to: &output)
    }
    output.endRecord()
  }

  /// Every decoder has passed these bytes on.
  private mutating func noteUndecoded(_ data: DataFrame) {
    let flow = descriptions.flow(data.flow)
    losses.noteUndecoded(bytes: data.bytes.count, isFirstOfFlow: flow?.isUndecoded == false)
    flow?.isUndecoded = true
  }

  private mutating func describe(_ process: ProcessFrame) throws(WireError) {
    let text =
      isJSON
      ? try ProcessText.json(process.description, showsLabels: showsLabels)
      : try ProcessName(process.description).text()
    descriptions.describeProcess(process.id, text: text)
  }

  private mutating func describe(_ flow: FlowFrame) {
    let text = isJSON ? flow.jsonText() : ByteBuffer(capacityBytes: 16)
    descriptions.describeFlow(
      flow.id, role: flow.role, process: flow.process, peerProcess: flow.peerProcess, text: text)
  }

  private mutating func describe(_ connection: ConnectionFrame) throws(WireError) {
    guard isJSON else { return }
    descriptions.describeConnection(connection.flow, text: try connection.jsonText())
  }
}
