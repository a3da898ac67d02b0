// The two ends of a connection find each other by the names that the kernel program gives them.
import CaptureRecords
import Testing

@testable import tap_capture

@Suite struct OtherEndsTests {
  private func record(flow: UInt64, own: UInt64, other: UInt64) -> tap_flow_record {
    var record = tap_flow_record()
    record.flow_id = flow
    record.own_end = own
    record.other_end = other
    return record
  }

  @Test func eachFindsTheOtherWhicheverComesFirst() {
    var ends = OtherEnds()
    let client = record(flow: 1, own: 0x0a_0000_000b, other: 0x0b_0000_000a)
    let server = record(flow: 2, own: 0x0b_0000_000a, other: 0x0a_0000_000b)
    ends.insert(client, process: 10)
    #expect(ends.other(of: client) == nil)
    #expect(ends.other(of: server) == ConnectionEnd(flow: 1, process: 10))
    ends.insert(server, process: 20)
    #expect(ends.other(of: client) == ConnectionEnd(flow: 2, process: 20))
  }

  /// A unix socket that is seen first does not know its other end yet.
  @Test func whoseNameIsNotKnownIsNobodysOtherEnd() {
    var ends = OtherEnds()
    ends.insert(record(flow: 1, own: 0, other: 0), process: 10)
    #expect(ends.other(of: record(flow: 2, own: 2, other: 0)) == nil)
    #expect(ends[0] == nil)
  }

  @Test func endsOutliveTheirFlowsForAWhile() {
    var ends = OtherEnds()
    let count = UInt64(OtherEnds.maximumEnded)
    for flow in 1...count + 1 {
      ends.insert(record(flow: flow, own: flow, other: flow + 1_000_000), process: flow)
      ends.end(record(flow: flow, own: flow, other: 0))
    }
    #expect(ends[1] == nil)
    #expect(ends[2] == ConnectionEnd(flow: 2, process: 2))
    #expect(ends[count + 1]?.flow == count + 1)
  }
}
