// What all decoders share: undecided flows are held and released in order, claimed ones are decoded, the rest passes.
import Support
import Testing

@testable import TapWire

@Suite struct DecoderStageTests {
  /// Claims flows whose first sent byte is `!`, rejects those that begin with `?`, and writes down what it gets.
  private final class Recorder: FlowDecoder {
    final class Log { var entries: [String] = [] }

    let id: UInt64
    let log: Log
    init(id: UInt64, log: Log) {
      self.id = id
      self.log = log
    }

    static func judge(_ evidence: FlowEvidence) -> Verdict {
      guard let first = evidence.sent.first else { return .undecided }
      return first == UInt8(ascii: "!") ? .claim : first == UInt8(ascii: "?") ? .reject : .undecided
    }

    override func update(_ flow: FlowFrame) { log.entries.append("\(id) is \(flow.role)") }
    override func receive(_ data: DataFrame, into output: inout Output) {
      log.entries.append("\(id) \(data.direction)@\(data.offset) \(String(decoding: data.bytes, as: UTF8.self))")
    }
    override func lose(_ gap: GapFrame, into output: inout Output) {
      log.entries.append("\(id) \(gap.direction)@\(gap.offset) lost \(gap.length) \(gap.reason.rawValue)")
    }
    override func close(at time: UInt64?, into output: inout Output) {
      log.entries.append("\(id) closed at \(time.map { "\($0)" } ?? "the end")")
    }
  }

  private func decode(_ stream: [UInt8]) -> (log: [String], output: [UInt8]) {
    let log = Recorder.Log()
    var stage = DecoderStage(judge: Recorder.judge) { id, _ in Recorder(id: id, log: log) }
    let run = StageRun(&stage, input: stream)
    #expect(run.status == .success)
    return (log.entries, run.output)
  }

  private func data(_ flow: Int64, _ direction: Int64, _ offset: Int64, _ text: String) -> Item {
    [
      3, Item(integerLiteral: flow), Item(integerLiteral: direction), 5, Item(integerLiteral: offset),
      .bytes(Array(text.utf8)),
    ]
  }

  private func gap(_ flow: Int64, _ direction: Int64, _ offset: Int64, _ length: Int64) -> Item {
    [
      4, Item(integerLiteral: flow), Item(integerLiteral: direction), 5, Item(integerLiteral: offset),
      Item(integerLiteral: length), "fault",
    ]
  }

  private func stream(_ frames: [Item]) -> [UInt8] {
    var stream = Stream()
    for frame in frames { stream.append(frame) }
    return stream.ended
  }

  @Test func aClaimedFlowIsConsumedAndItsFrameOfCloseIsNot() {
    let close: Item = [5, 1, 9, "closed"]
    let result = decode(stream([data(1, 0, 0, "!ab"), data(1, 1, 0, "x"), data(1, 0, 3, "c"), close]))
    #expect(result.log == ["1 sent@0 !ab", "1 received@0 x", "1 sent@3 c", "1 closed at 9"])
    #expect(result.output == stream([close]))
  }

  @Test func anotherFlowPassesUnchanged() {
    let input = stream([
      data(1, 0, 0, "?ab"), data(1, 1, 0, "x"), [5, 1, 9, "closed"], [99, "unknown"], data(1, 0, 0, "?"),
    ])
    #expect(decode(input).output == input)
  }

  @Test func anUndecidedFlowIsHeldInOrderAndThenDecided() {
    let held = [data(1, 1, 0, "server first"), gap(1, 1, 12, 5), data(1, 1, 17, "more")]
    let other = data(2, 0, 0, "?")
    let claimed = decode(stream(held + [other, data(1, 0, 0, "!")]))
    #expect(
      claimed.log == [
        "1 received@0 server first", "1 received@12 lost 5 fault", "1 received@17 more", "1 sent@0 !",
        "1 closed at the end",
      ])
    #expect(claimed.output == stream([other, gap(1, 1, 12, 5)]))
    let rejected = decode(stream(held + [other, data(1, 0, 0, "?")]))
    #expect(rejected.log.isEmpty)
    #expect(rejected.output == stream([other] + held + [data(1, 0, 0, "?")]))
  }

  @Test func anUndecidedFlowIsReleasedAtItsCloseAndAtTheEnd() {
    let close: Item = [5, 1, 9, "closed"]
    for input in [stream([data(1, 0, 0, "x"), close]), stream([data(1, 0, 0, "x"), data(2, 0, 0, "y")])] {
      #expect(decode(input).output == input)
    }
  }

  @Test func aFlowThatStaysUndecidedTooLongIsReleased() {
    let part = String(repeating: "x", count: 10_000)
    let frames = (0..<10).map { data(1, 0, Int64($0 * 10_000), part) }
    let late = data(2, 0, 0, "?")
    let result = decode(stream(Array(frames[0..<7]) + [late] + Array(frames[7...])))
    #expect(result.log.isEmpty)
    // Seven frames are more than 64 KiB: they go out before what comes then.
    #expect(result.output == stream(Array(frames[0..<7]) + [late] + Array(frames[7...])))
  }

  /// In the middle of something large the first bytes say nothing: of a flow that was joined there the latest are looked at.
  @Test func theEvidenceOfAJoinedFlowIsTheLatest() {
    let part = String(repeating: "x", count: 1024)
    let frames = [data(1, 0, 0, part), data(1, 1, 0, "y"), data(1, 0, 1024, "!")]
    #expect(
      decode(stream(frames)).log
        == ["1 sent@0 \(part)", "1 received@0 y", "1 sent@1024 !", "1 closed at the end"])
    let whole: Item = ["role": "client"]
    #expect(decode(stream([[2, 1, nil, whole]] + frames)).log.isEmpty)
    // As long as the other direction is silent the first bytes are kept.
    #expect(decode(stream([frames[0], frames[2]])).log.isEmpty)
  }

  @Test func manyUndecidedFlowsAreHeldWithinABound() {
    let part = String(repeating: "x", count: 30_000)
    let frames = (1...400).map { data(Int64($0), 0, 0, part) }
    let result = decode(stream(frames + [data(1, 0, 30_000, "!")]))
    // The flow that passes 8 MiB is released at once; those before it are still held, and come out at the end.
    #expect(result.log.isEmpty)
    #expect(result.output.count == stream(frames + [data(1, 0, 30_000, "!")]).count)
    let first = Array(result.output.dropFirst(Stream().bytes.count).prefix(frames[279].frame.count))
    #expect(first == frames[279].frame)
  }

  @Test func missingBytesAreAnnouncedOnceAndRepeatedOnesDropped() {
    let result = decode(
      stream([
        data(1, 0, 0, "!ab"), data(1, 0, 10, "kl"), data(1, 0, 8, "ijklmn"), gap(1, 0, 12, 6), gap(1, 0, 12, 3),
        data(1, 0, 12, "old"), data(1, 0, 18, "s"),
      ]))
    #expect(
      result.log == [
        "1 sent@0 !ab", "1 sent@3 lost 7 not_captured", "1 sent@10 kl", "1 sent@12 mn", "1 sent@14 lost 4 fault",
        "1 sent@18 s", "1 closed at the end",
      ])
  }

  @Test func theBeginningOfAFlowIsKnownToBeMissing() {
    let about: Item = ["transport": "tcp", "local": ["::1", 1], "remote": ["::1", 2], "role": "client"]
    let preexisting: Item = ["role": "client", "preexisting": true]
    let fresh = decode(stream([[2, 1, nil, about], data(1, 0, 5, "!")]))
    #expect(fresh.log == ["1 sent@0 lost 5 not_captured", "1 sent@5 !", "1 closed at the end"])
    let old = decode(stream([[2, 1, nil, preexisting], data(1, 0, 5, "!"), [2, 1, nil, about]]))
    #expect(old.log == ["1 sent@5 !", "1 is client", "1 closed at the end"])
  }
}
