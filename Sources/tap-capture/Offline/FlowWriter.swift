// Where an offline capture's frames go: one output, one sum of what was delivered and what was missing.
import TapWire

/// Writes the frames of flows and counts their bytes.
struct FlowWriter: ~Copyable, TCPStreamSink {
  /// What the end frame says.
  struct Totals {
    var flows: UInt64 = 0
    var dataBytes: UInt64 = 0
    var gapBytes: UInt64 = 0
    /// Bytes that came a second time, or too late, and were dropped.
    var repeatedBytes: UInt64 = 0
  }

  var output: Output
  var totals = Totals()
  private var flow: UInt64 = 0
  private var direction = Direction.sent

  init(output: consuming Output) { self.output = output }

  /// The flow and direction of the bytes that follow.
  mutating func select(_ flow: UInt64, _ direction: Direction) {
    self.flow = flow
    self.direction = direction
  }

  mutating func deliver(_ bytes: UnsafeRawBufferPointer, offset: UInt64, time: UInt64) {
    totals.dataBytes += UInt64(bytes.count)
    DataFrame(flow: flow, direction: direction, time: time, offset: offset, bytes: bytes).append(to: &output.buffer)
    output.endRecord()
  }

  mutating func miss(_ length: UInt64, offset: UInt64, time: UInt64, reason: GapFrame.Reason) {
    totals.gapBytes += length
    GapFrame(flow: flow, direction: direction, time: time, offset: offset, length: length, reason: reason)
      .append(to: &output.buffer)
    output.endRecord()
  }

  mutating func write(_ frame: FlowFrame) {
    totals.flows += 1
    frame.append(to: &output.buffer)
    output.endRecord()
  }

  mutating func write(_ frame: CloseFrame) {
    frame.append(to: &output.buffer)
    output.endRecord()
  }
}
