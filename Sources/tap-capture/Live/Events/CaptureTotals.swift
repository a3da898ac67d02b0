// What the end frame says: how much was captured, how much was not, and why.
import CaptureRecords
import TapWire

/// Counts of one capture.
struct CaptureTotals {
  var flows: UInt64 = 0
  var dataFrames: UInt64 = 0
  var dataBytes: UInt64 = 0
  /// Of flows that had been taken for closed.
  var untrackedBytes: UInt64 = 0
  private(set) var gapBytes: [(reason: GapFrame.Reason, bytes: UInt64)] = []

  mutating func countGap(_ bytes: UInt64, _ reason: GapFrame.Reason) {
    if let index = gapBytes.firstIndex(where: { $0.reason == reason }) {
      gapBytes[index].bytes += bytes
    } else {
      gapBytes.append((reason, bytes))
    }
  }

  /// Counters for the end frame. `losses` are those of the kernel program, `missedCalls`
  /// those that it was not run for.
  func counters(
    losses: tap_loss_counters, dismissed: Dismissals, missedCalls: UInt64
  ) -> [(name: String, value: UInt64)] {
    [("flows", flows), ("data_frames", dataFrames), ("data_bytes", dataBytes)]
      + gapBytes.map { ("gap_bytes_\($0.reason.rawValue)", $0.bytes) }
      + (dismissed.flows > 0 ? [("dismissed_flows", dismissed.flows), ("dismissed_bytes", dismissed.bytes)] : [])
      + [
        ("lost_transfer_records", losses.transfer_records), ("lost_process_records", losses.process_records),
        ("lost_flow_ends", losses.forgotten_ends), ("untracked_bytes", losses.untracked_bytes + untrackedBytes),
        ("missed_calls", missedCalls),
      ]
  }
}

extension GapFrame.Reason {
  static let ioUring = Self(rawValue: "io_uring")
  static let compat = Self(rawValue: "compat_call")
  static let kernelThread = Self(rawValue: "kernel_thread")
  static let multiMessage = Self(rawValue: "multi_message")
  static let filtered = Self(rawValue: "filtered")
  /// Beyond `--max-bytes` of one call.
  static let cut = Self(rawValue: "cut")

  /// The reason for a cause that the kernel program tells.
  init(cause: UInt8) {
    self =
      switch tap_gap_cause(UInt32(cause)) {
      case TAP_CAUSE_FAULT: .fault
      case TAP_CAUSE_TRUNCATED: .truncated
      case TAP_CAUSE_SENDFILE: .sendfile
      case TAP_CAUSE_IO_URING: .ioUring
      case TAP_CAUSE_COMPAT: .compat
      case TAP_CAUSE_KERNEL_THREAD: .kernelThread
      case TAP_CAUSE_MULTI_MESSAGE: .multiMessage
      case TAP_CAUSE_FILTERED: .filtered
      case TAP_CAUSE_CUT: .cut
      default: .notCaptured
      }
  }
}
