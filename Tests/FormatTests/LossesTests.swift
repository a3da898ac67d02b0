// What is missing is said, on stderr, and only there.
import Format
import Support
import TapWire
import Testing

@Suite struct LossesTests {
  private func messages(isVerbose: Bool = false, _ frames: [Item], isEnded: Bool = true) -> [String] {
    var stream = Stream()
    for frame in frames { stream.append(frame) }
    let json = Formatted(isEnded ? stream.ended : stream.bytes, isVerbose: isVerbose)
    let pretty = Formatted(
      isEnded ? stream.ended : stream.bytes, style: .pretty(isColored: false), isVerbose: isVerbose)
    #expect(json.messages == pretty.messages)
    #expect(json.run.output.isEmpty && pretty.run.output.isEmpty && json.run.status == .success)
    return json.messages
  }

  @Test func aQuietStreamSaysNothing() {
    #expect(messages([[5, 1, 9, "closed"], [99, "a kind of tomorrow"]]) == [])
  }

  @Test func bytesThatNobodyDecoded() {
    var stream = Stream()
    for flow in 1...2 as ClosedRange<Int64> { stream.flow(flow, process: 1) }
    let data: [Item] = [
      [3, 1, 0, 5, 0, .bytes([1, 2, 3])], [3, 1, 0, 6, 3, .bytes([4])], [3, 2, 1, 7, 0, .bytes([5])],
    ]
    for frame in data { stream.append(frame) }
    #expect(
      Formatted(stream.ended).messages == [
        "5 bytes of 2 connections were not decoded by any stage before tap-fmt (tap-resp, tap-http)"
      ])
    #expect(messages(data) == ["5 bytes were not decoded by any stage before tap-fmt (tap-resp, tap-http)"])
  }

  @Test func noticesWithTheirStage() {
    let frames: [Item] = [
      [7, "tap-resp", "warning", 5, "resynchronised", ["flows": 2, "bytes": 70]],
      [7, "tap-capture", "error", 5, "ring is full", [:]], [7, "tap-capture", "info", 5, "3 programs", [:]],
    ]
    let important = [
      "tap-resp: warning: resynchronised (flows 2, bytes 70)", "tap-capture: error: ring is full",
    ]
    #expect(messages(frames) == important)
    #expect(
      messages(isVerbose: true, frames) == important + ["tap-capture: info: 3 programs", "info: end of the stream"])
  }

  @Test func manyWarningsAreCounted() {
    let frames = (1...50).map { [7, "tap-resp", "warning", 5, .text("flow \($0)"), [:]] as Item }
    let shown = messages(frames)
    #expect(shown.count == 21 && shown[19] == "tap-resp: warning: flow 20")
    #expect(shown[20] == "warning: 30 more warnings; --verbose shows all")
    #expect(messages(isVerbose: true, frames).count == 51)
  }

  @Test func gapsAreAddedUp() {
    let frames: [Item] = [
      [4, 1, 0, 5, 0, 100, "ring_full"], [4, 1, 1, 5, 0, 7, "fault"], [4, 2, 0, 5, 0, 23, "ring_full"],
    ]
    #expect(messages(frames) == ["warning: 130 bytes are missing in 3 gaps (ring_full 123, fault 7)"])
  }

  @Test func hostileGapsNeitherOverflowNorGrow() {
    var frames: [Item] = [[4, 1, 0, 5, 0, .unsigned(.max), "a"], [4, 1, 0, 5, 0, 5, "a"]]
    frames += (0..<100).map { [4, 1, 0, 5, 0, 1, .text("reason \($0)")] }
    frames.append([4, 1, 0, 5, 0, 1, .text(String(repeating: "x", count: 1000))])
    let messages = messages(frames)
    #expect(messages.count == 1)
    #expect(
      messages[0].hasPrefix("warning: 18446744073709551615 bytes are missing in 103 gaps (a 18446744073709551615,"))
    #expect(messages[0].hasSuffix(", reason 14 1, other 86)"))
  }

  @Test func lossesInTheTotals() {
    var stream = Stream()
    stream.append([8, true, ["flows": 5, "lost_records": 3, "lost_flows": 0]])
    #expect(Formatted(stream.bytes).messages == ["warning: the capture counted losses (lost_records 3)"])
  }

  @Test func aStreamThatStops() {
    #expect(messages([], isEnded: false) == ["warning: the stream stopped without an end frame"])
    let cutUpstream: [Item] = [
      [7, "tap-resp", "warning", 0, "the stream stopped without an end frame", [:]], [8, false, [:]],
    ]
    // The notice has said why: the end frame in the producer's place adds nothing, whatever a stage says between the two.
    #expect(
      messages(cutUpstream, isEnded: false) == ["tap-resp: warning: the stream stopped without an end frame"])
    #expect(
      messages([cutUpstream[0], [7, "tap-http", "warning", 0, "unvouched", [:]], cutUpstream[1]], isEnded: false) == [
        "tap-resp: warning: the stream stopped without an end frame", "tap-http: warning: unvouched",
      ])
    #expect(
      messages([[7, "tap-resp", "warning", 0, "unvouched", [:]], [8, false, [:]]], isEnded: false) == [
        "tap-resp: warning: unvouched", "warning: the stream is incomplete: it was cut short before its end",
      ])
    let malformed: [Item] = [[7, "tap-resp", "error", 0, "malformed input", [:]], [8, false, [:]]]
    #expect(messages(malformed, isEnded: false) == ["tap-resp: error: malformed input"])
  }

  @Test func messagesAreShownNotObeyed() {
    let messages = messages([
      [7, "tap\u{1b}[2J", "warning", 5, .text("a\nb" + String(repeating: "x", count: 5000)), ["\u{202e}": 1]]
    ])
    #expect(messages.count == 1)
    #expect(messages[0].hasPrefix("tap\\x1b[2J: warning: a\\nbxxx") && messages[0].hasSuffix("x…"))
    #expect(messages[0].count == 1001)
  }
}
