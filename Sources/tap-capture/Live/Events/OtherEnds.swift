// Which flow is the other end of a connection within this machine. The kernel program names both ends (other_end.h); here
// each finds the other, whichever is told of first.
import CaptureRecords
import TapWire

/// One end of a connection.
struct ConnectionEnd: Equatable {
  var flow: UInt64
  /// The id of the frame of the process that has it.
  var process: UInt64
}

struct OtherEnds: ~Copyable {
  /// Ends that are remembered after their flows have ended: a server may come to its connection when the client is gone.
  static let maximumEnded = 4096

  private var ends = FlowTable<ConnectionEnd>()
  /// The names of the ends whose flows have ended, in a ring.
  private var ended: [UInt64] = []
  private var oldest = 0

  /// The other end of the connection of `record`'s flow, if it is known by now.
  func other(of record: tap_flow_record) -> ConnectionEnd? {
    record.other_end == 0 ? nil : ends[record.other_end]
  }

  /// The end that has `name`.
  subscript(name: UInt64) -> ConnectionEnd? { name == 0 ? nil : ends[name] }

  mutating func insert(_ record: tap_flow_record, process: UInt64) {
    guard record.own_end != 0 else { return }
    ends[record.own_end] = ConnectionEnd(flow: record.flow_id, process: process)
  }

  /// The flow has ended: what is known of it is kept for a while.
  mutating func end(_ record: tap_flow_record) {
    guard let end = ends[record.own_end], end.flow == record.flow_id else { return }
    if ended.count < Self.maximumEnded {
      ended.append(record.own_end)
    } else {
      ends[ended[oldest]] = nil
      ended[oldest] = record.own_end
      oldest = (oldest + 1) % Self.maximumEnded
    }
  }
}
