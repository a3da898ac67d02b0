// The ends of unix flows, which no hook sees: a flow that is not listed any more has ended.
import CaptureRecords
import Glibc

struct UnixFlowEnds {
  /// From one look to the next. The end of a flow is told so much too late at most, unless there are very many.
  private static let intervalNanoseconds: UInt64 = 100_000_000
  /// Looking takes at most this share of the time.
  private static let timeShare: UInt64 = 100

  /// A flow that has ended, with its totals where some of its bytes were lost.
  private struct End {
    var id: UInt64
    var totals: tap_flow_record?
  }

  /// What is known of flows that lost something.
  private var losses: [UInt64: tap_flow_record] = [:]
  private var ends: [End] = []
  private var endTime: UInt64 = 0
  /// What belongs to `ends` stands in front of this position of the ring.
  private var endPosition: UInt64 = 0
  private var nextLook: UInt64 = 0

  var isEmpty: Bool { ends.isEmpty }

  /// Looks which of the flows that the stream has described, or lost all of, are gone, if it is time to.
  mutating func look(
    at now: UInt64, _ recorder: inout EventRecorder, in program: borrowing KernelProgram, _ ring: borrowing RingReader,
    isLast: Bool = false
  ) throws(CaptureFailure) {
    guard ends.isEmpty, now >= nextLook || isLast else { return }
    nextLook = now + UnixFlowEnds.intervalNanoseconds
    for id in recorder.endedUnixFlows { losses[id] = nil }
    recorder.endedUnixFlows.removeAll()
    let candidates = recorder.unixFlows.union(losses.keys)
    var ended = try program.unlisted(candidates)
    // After the list: whatever a flow that is not in it has lost is in there.
    for record in program.takeUnixLosses() { losses[record.flow_id] = record }
    // At the last look nothing comes after it: that counts for those too of which only losses are known.
    if isLast { try ended.formUnion(program.unlisted(Set(losses.keys))) }
    ends = ended.sorted().map { End(id: $0, totals: losses.removeValue(forKey: $0)) }
    endTime = now
    endPosition = ring.endPosition
    let cost = clockNanoseconds(CLOCK_MONOTONIC) - now
    nextLook = max(nextLook, now + cost * UnixFlowEnds.timeShare)
  }

  /// What is known of the losses of flows that are open.
  mutating func takeLosses() -> [tap_flow_record] {
    defer { losses.removeAll() }
    return Array(losses.values)
  }

  /// Ends the flows that are gone, once everything of theirs is read.
  mutating func settle(_ recorder: inout EventRecorder, readTo position: UInt64) {
    guard !ends.isEmpty, position >= endPosition else { return }
    for end in ends {
      if var totals = end.totals {
        totals.time_ns = endTime
        recorder.end(totals)
      } else {
        recorder.endWhole(end.id, at: endTime, reason: "closed")
      }
    }
    ends.removeAll()
  }
}
