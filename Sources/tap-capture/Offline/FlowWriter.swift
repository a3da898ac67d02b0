// Where an offline capture's frames go: one output, one sum of what was delivered and what was missing.
import TapWire

/// Writes the frames of flows and counts their bytes.
final class FlowWriter {
  /// What the end frame says.
  struct Totals {
    var flows: UInt64 = 0
    var dataFrames: UInt64 = 0
    var dataBytes: UInt64 = 0
    var truncatedBytes: UInt64 = 0
    var notCapturedBytes: UInt64 = 0
    /// Bytes that came a second time, or too late, and were dropped.
    var repeatedBytes: UInt64 = 0
    /// Bytes that no receiver would take: beyond its window and never acknowledged, or behind the end.
    var refusedBytes: UInt64 = 0
    /// Resets that lay outside of the receiver's window.
    var refusedResets: UInt64 = 0
    /// Segments that said something else than others about the same bytes, their flows, and the first of these.
    private(set) var contradictions: UInt64 = 0
    private(set) var contradictedFlows: UInt64 = 0
    private(set) var firstContradictedFlow: UInt64?

    mutating func contradicted(_ flow: UInt64, _ segments: UInt64) {
      contradictions += segments
      contradictedFlows += 1
      firstContradictedFlow = firstContradictedFlow ?? flow
    }
  }

  var output: Output
  var totals = Totals()
  init(output: consuming Output) { self.output = output }

  func write(_ frame: DataFrame) {
    totals.dataFrames += 1
    totals.dataBytes += UInt64(frame.bytes.count)
    frame.append(to: &output.buffer)
    output.endRecord()
  }

  func write(_ frame: GapFrame) {
    if frame.reason == .truncated {
      totals.truncatedBytes += frame.length
    } else {
      totals.notCapturedBytes += frame.length
    }
    frame.append(to: &output.buffer)
    output.endRecord()
  }

  func write(_ frame: FlowFrame) {
    frame.append(to: &output.buffer)
    output.endRecord()
  }

  func write(_ frame: CloseFrame) {
    frame.append(to: &output.buffer)
    output.endRecord()
  }

  func notice(_ severity: NoticeFrame.Severity, time: UInt64, _ text: String, _ counters: KeyValuePairs<String, UInt64>)
  {
    NoticeFrame(
      stage: "tap-capture", severity: severity, time: time, text: text,
      counters: counters.map { (name: $0.key, value: $0.value) }
    ).append(to: &output.buffer)
    output.endRecord()
  }
}
