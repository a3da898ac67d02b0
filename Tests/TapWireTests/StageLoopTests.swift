// The loop of a stage: scopes begin and end once, whatever the stream does, and what came before an error goes out.
import Support
import Testing

@testable import TapWire

@Suite struct StageLoopTests {
  /// Writes down what the loop does, and reads the fields of kind 50, an unsigned integer.
  private struct Recorder: Stage, ~Copyable {
    var log: [String] = []

    mutating func receive(_ frame: Frame, into output: inout Output) throws(WireError) {
      switch frame.kind {
      case .notice:
        let notice = try NoticeFrame(frame)
        log.append("\(notice.severity) from \(notice.stage): \(notice.text)")
      case .end: log.append(try EndFrame(frame).isComplete ? "end" : "incomplete end")
      case FrameKind(rawValue: 50):
        var fields = frame.fields
        log.append("kind 50: \(try fields.readUnsigned())")
      default: log.append("kind \(frame.kind.rawValue)")
      }
      output.forward(frame)
    }

    mutating func endScope(into output: inout Output) { log.append("scope ends") }
  }

  private func record(_ input: [UInt8]) -> (log: [String], run: StageRun) {
    var stage = Recorder()
    let run = StageRun(&stage, input: input)
    return (stage.log, run)
  }

  private let hello = Stream().bytes
  private let end = ([8, true, [:]] as Item).frame

  @Test func aWholeStream() {
    let input = Stream().ended
    let result = record(input)
    #expect(result.log == ["kind 0", "scope ends", "end"])
    #expect(result.run.output == input && result.run.status == .success && result.run.errors.isEmpty)
  }

  @Test func nothingAtAllIsAStream() {
    let result = record([])
    #expect(result.log.isEmpty && result.run.output.isEmpty && result.run.status == .success)
  }

  @Test func aStreamThatStops() {
    let result = record(hello + ([50, 7] as Item).frame)
    #expect(
      result.log == [
        "kind 0", "kind 50: 7", "scope ends", "warning from tap-test: the stream stopped without an end frame",
        "incomplete end",
      ])
    #expect(result.run.status == .success)
    // What goes out is a whole stream again.
    #expect(record(result.run.output).log.last == "incomplete end")
    #expect(record(result.run.output).run.output == result.run.output)
  }

  @Test func streamsJoined() {
    #expect(
      record(hello + end + hello + hello + end).log == [
        "kind 0", "scope ends", "end", "kind 0", "scope ends",
        "warning from tap-test: a stream stopped without an end frame before the next", "incomplete end", "kind 0",
        "scope ends", "end",
      ])
  }

  @Test func anErrorEndsTheScope() {
    let bad = ([50, "text"] as Item).frame
    let place = hello.count + ([50, 7] as Item).frame.count + 4
    let result = record(hello + ([50, 7] as Item).frame + bad + end)
    #expect(result.log.prefix(3) == ["kind 0", "kind 50: 7", "scope ends"])
    #expect(result.log.last == "incomplete end")
    #expect(result.run.status == .badInput)
    let message = "malformed TapWire at byte \(place): expected an unsigned integer, found a text string"
    #expect(result.run.errors.hasPrefix("tap-test: \(message)\n  The input must be"))
    #expect(result.log.contains("error from tap-test: \(message)"))
  }

  static let outside: [[UInt8]] = [
    ([50, 7] as Item).frame, ([8, true, [:]] as Item).frame, ([3, 1, 0, 0, 0, .bytes([1])] as Item).frame,
  ]

  @Test(arguments: outside) func framesOutsideAScope(_ frame: [UInt8]) {
    for input in [frame, Stream().ended + frame] {
      let result = record(input)
      #expect(result.run.status == .badInput)
      #expect(result.run.errors.contains("expected a hello frame first"))
    }
  }

  @Test func anotherVersionIsRefused() {
    let result = record(([0, 2, "later", 0, "host", "live"] as Item).frame)
    #expect(result.run.status == .badInput && result.log.isEmpty)
    #expect(result.run.errors.contains("expected TapWire version 1, found version 2"))
  }

  @Test func laterFieldsAndKindsPass() {
    let later = ([0, 1, "later", 0, "host", "live", ["new": 1]] as Item).frame + ([77, "of tomorrow"] as Item).frame
    #expect(record(later + end).run.output == later + end)
  }

  @Test func aFieldOfIndefiniteLengthIsReadOnTheSecondTry() {
    // [50, h'…' in chunks] is no integer; [_ 50, 7] is.
    #expect(record(hello + hex("45 9f 18 32 07 ff") + end).log == ["kind 0", "kind 50: 7", "scope ends", "end"])
    let notice = hex("82 07") + hex("7f 61 61 ff")
    #expect(record(hello + Item.bytes(notice).encoding).run.status == .badInput)
    let whole = hex("86 07 7f 6161 6162 ff 64 696e666f 00 7f 62 6869 ff bf ff")
    #expect(record(hello + Item.bytes(whole).encoding + end).log[1] == "info from ab: hi")
  }
}
