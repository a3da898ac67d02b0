// Whatever happens to the segments of a stream, the bytes that come out are the stream's, and the rest is in gaps.
import Support
import TapWire
import Testing

@testable import tap_capture

/// Keeps what a stream delivers and checks that its offsets run on without a hole.
private final class Recorder: TCPStreamSink {
  var next: UInt64 = 0
  var delivered: [(offset: UInt64, bytes: [UInt8])] = []
  var missing: [(offset: UInt64, length: UInt64, reason: GapFrame.Reason)] = []

  func deliver(_ bytes: UnsafeRawBufferPointer, offset: UInt64, time: UInt64) {
    #expect(offset == next)
    next += UInt64(bytes.count)
    delivered.append((offset, Array(bytes)))
  }

  func miss(_ length: UInt64, offset: UInt64, time: UInt64, reason: GapFrame.Reason) {
    #expect(offset == next)
    next += length
    missing.append((offset, length, reason))
  }

  /// The stream with nil where bytes are missing.
  var stream: [UInt8?] {
    var stream = [UInt8?](repeating: nil, count: Int(next))
    for piece in delivered {
      for (index, byte) in piece.bytes.enumerated() { stream[Int(piece.offset) + index] = byte }
    }
    return stream
  }

  var text: String { String(decoding: delivered.flatMap(\.bytes), as: UTF8.self) }
}

/// A segment as it is on the wire, so that the header parser is part of what is tested.
private func segment(sequence: UInt32, _ payload: some Collection<UInt8>, flags: UInt8 = 0x10, cut: Int = 0) -> (
  bytes: [UInt8], length: Int
) {
  var bytes: [UInt8] = [0x18, 0xeb, 0xc0, 0x00]
  for shift in [24, 16, 8, 0] { bytes.append(UInt8(truncatingIfNeeded: sequence >> UInt32(shift))) }
  bytes += [0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]
  bytes += payload
  return (Array(bytes.dropLast(cut)), bytes.count)
}

/// One direction and what it delivers; each call is a packet, a millisecond after the one before.
private struct Direction {
  var stream = TCPStream()
  var recorder = Recorder()
  private var packet: UInt64 = 0

  private mutating func moment() -> PacketMoment {
    packet += 1
    return PacketMoment(packet: packet, time: packet * 1_000_000)
  }

  mutating func add(_ wire: (bytes: [UInt8], length: Int)) {
    let moment = moment()
    wire.bytes.withUnsafeBytes {
      guard let segment = TCPSegment(PacketBytes(bytes: $0), length: wire.length) else {
        Issue.record("the segment was not understood")
        return
      }
      if segment.isSyn { stream.begin(behindSyn: segment.sequence, to: &recorder) }
      stream.add(segment, moment, to: &recorder)
    }
  }

  mutating func add(_ sequence: UInt32, _ text: String, flags: UInt8 = 0x10, cut: Int = 0) {
    add(segment(sequence: sequence, Array(text.utf8), flags: flags, cut: cut))
  }

  mutating func acknowledge(_ number: UInt32) {
    stream.acknowledge(number, window: 65_535, isTaken: true, moment(), to: &recorder)
  }

  mutating func pass(nanoseconds: UInt64) { packet += nanoseconds / 1_000_000 }

  mutating func finish() { stream.finish(time: 0, to: &recorder) }
}

private let syn: UInt8 = 0x02
private let finAck: UInt8 = 0x11

@Suite struct TCPStreamTests {
  @Test func bytesInOrderPassAtOnce() {
    var way = Direction()
    way.add(99, "", flags: syn)
    way.add(100, "hello ")
    way.add(106, "world", flags: finAck)
    #expect(way.recorder.text == "hello world")
    #expect(way.stream.isFinished)
  }

  @Test func aSynCanCarryData() {  // TCP fast open, RFC 7413
    var way = Direction()
    way.add(UInt32.max, "early", flags: syn)
    way.add(0, "early")
    way.add(5, " late")
    #expect(way.recorder.text == "early late")
  }

  @Test func aSnapLengthCutIsAGapOfExactSize() {
    var way = Direction()
    way.add(0, "", flags: syn)
    way.add(1, "0123456789", cut: 4)
    way.add(11, "ab")
    #expect(way.recorder.missing.map(\.length) == [4])
    #expect(way.recorder.missing.first?.reason == .truncated)
    #expect(way.recorder.delivered.last?.offset == 10)
  }

  @Test func whatThePeerAcknowledgedAndNeverCameIsAGap() {
    var way = Direction()
    way.add(0, "", flags: syn)
    way.add(6, "later")
    #expect(way.recorder.delivered.isEmpty)
    for _ in 0...OfflineLimits.acknowledgedPatiencePackets { way.acknowledge(11) }
    #expect(way.recorder.missing.map(\.length) == [5])
    #expect(way.recorder.text == "later")
  }

  @Test func anAcknowledgementMayStandBeforeItsData() {
    var way = Direction()
    way.add(0, "", flags: syn)
    way.acknowledge(6)
    way.add(1, "hello")
    #expect(way.recorder.text == "hello")
    #expect(way.recorder.missing.isEmpty)
  }

  @Test func whatNobodyAcknowledgesIsWaitedForLonger() {
    var way = Direction()
    way.add(0, "", flags: syn)
    way.add(6, "later")
    way.pass(nanoseconds: OfflineLimits.missingPatienceNanoseconds / 2)
    way.add(11, "still")
    #expect(way.recorder.delivered.isEmpty)
    way.pass(nanoseconds: OfflineLimits.missingPatienceNanoseconds)
    way.add(16, "now")
    #expect(way.recorder.missing.map(\.length) == [5])
    #expect(way.recorder.text == "laterstillnow")
  }

  @Test func aStreamJoinedInTheMiddleBeginsWithTheLowestByteThatComes() {
    var way = Direction()
    way.add(1006, "second")
    way.add(1000, "first ")
    #expect(way.recorder.text == "")
    for _ in 0..<OfflineLimits.acknowledgedPatiencePackets { way.acknowledge(1012) }
    way.add(1012, " third")
    #expect(way.recorder.text == "first second third")
    #expect(way.recorder.missing.isEmpty)
  }

  @Test func aSynMayStandBehindTheFirstBytes() {
    var way = Direction()
    way.add(1006, "second")
    way.add(999, "", flags: syn)
    way.add(1000, "first ")
    #expect(way.recorder.text == "first second")
    #expect(way.recorder.missing.isEmpty)
  }

  @Test func keepAlivesAreNotBytes() {  // RFC 9293, section 3.8.4
    var way = Direction()
    way.add(0, "", flags: syn)
    way.add(1, "hello")
    way.add(5, "X")
    way.add(5, "")
    way.add(6, " you")
    #expect(way.recorder.text == "hello you")
  }

  /// What `tcp_data_queue_ofo` of Linux keeps. Each: segments in order of arrival, and the stream once the first byte came.
  @Test(
    arguments: [
      ([(2, "bbbb"), (4, "cccc")], "abbbbcc"),  // the one that begins first
      ([(4, "cccc"), (2, "bbbb")], "abbbbcc"),
      ([(2, "bb"), (2, "cccc")], "acccc"),  // of two that begin together the longer one
      ([(2, "bbbb"), (2, "cc")], "abbbb"),
      ([(3, "b"), (2, "ccc")], "accc"),  // one that is covered goes
      ([(2, "bbb"), (3, "c")], "abbb"),
    ] as [([(UInt32, String)], String)])
  func overlapsKeepWhatLinuxKeeps(segments: [(UInt32, String)], kept: String) {
    var way = Direction()
    way.add(0, "", flags: syn)
    for (sequence, text) in segments { way.add(sequence, text) }
    way.add(1, "a")
    #expect(way.recorder.text == kept)
    #expect(way.stream.waiting.contradictions == 1)
    #expect(way.stream.waiting.heldBytes == 0)
  }

  @Test func overlapsThatAgreeAreNoContradiction() {
    var way = Direction()
    way.add(0, "", flags: syn)
    way.add(3, "cdef")
    way.add(2, "bcd")
    way.add(1, "abc")
    #expect(way.recorder.text == "abcdef")
    #expect(way.stream.waiting.contradictions == 0)
  }

  @Test func aResetIsBelievedOnlyInTheWindow() {
    var way = Direction()
    way.add(0, "", flags: syn)
    way.add(1, "hello")
    way.acknowledge(6)
    #expect(way.stream.accepts(resetAt: 6))
    #expect(way.stream.accepts(resetAt: 6 + 65_535))
    #expect(!way.stream.accepts(resetAt: 5))
    #expect(!way.stream.accepts(resetAt: 6 + 65_536))
    #expect(!way.stream.accepts(resetAt: 0x8000_0000))
  }

  @Test func whatWasNeverSentCannotBeAcknowledged() {  // RFC 9293, section 3.10.7.4, fifth
    var way = Direction()
    way.add(0, "", flags: syn)
    way.acknowledge(1)
    for _ in 0...OfflineLimits.acknowledgedPatiencePackets { way.acknowledge(300_000_000) }
    way.add(1, "hello")
    way.finish()
    #expect(way.recorder.text == "hello")
    #expect(way.recorder.missing.isEmpty)
  }

  @Test func aWindowThatNobodyAnnouncedHasNoRoom() {  // RFC 9293, section 3.10.7.3, first
    var way = Direction()
    way.add(0, "", flags: syn)
    way.acknowledge(60_000)
    way.finish()
    #expect(way.recorder.missing.isEmpty)
  }

  @Test func bytesBeyondTheWindowAreRefused() {
    var way = Direction()
    way.add(0, "", flags: syn)
    way.acknowledge(1)
    way.add(65_537 + 1, "stray")
    way.add(900_000_000, "", flags: finAck)
    way.add(1, "hello", flags: finAck)
    #expect(way.stream.isFinished)
    way.finish()
    #expect(way.recorder.text == "hello")
    #expect(way.recorder.missing.isEmpty)
    #expect(way.stream.refusedBytes == 5)
    #expect(way.stream.heldBytes == 0)
  }

  @Test func bytesBeyondTheWindowCountWhereThePeerAcknowledgesThem() {
    var way = Direction()
    way.add(0, "", flags: syn)
    way.acknowledge(1)
    way.add(1_000_001, "later")
    way.acknowledge(1_000_006)
    way.finish()
    #expect(way.recorder.missing.map(\.length) == [1_000_000])
    #expect(way.recorder.text == "later")
    #expect(way.stream.refusedBytes == 0)
  }

  @Test func aStrayFirstSegmentIsNotTheBeginning() {
    var way = Direction()
    way.add(1_000, "old")
    way.add(500_000_000, "first ")
    way.add(500_000_006, "second ")
    way.add(500_000_013, "third")
    way.finish()
    #expect(way.recorder.text == "first second third")
    #expect(way.recorder.missing.isEmpty)
    #expect(way.stream.refusedBytes == 3)
  }

  @Test func nothingStandsBehindAFin() {  // RFC 9293, section 3.10.7.4, seventh
    var way = Direction()
    way.add(0, "", flags: syn)
    way.add(1, "hello", flags: finAck)
    way.add(6, "?")
    way.finish()
    #expect(way.recorder.text == "hello")
    #expect(way.stream.refusedBytes == 1)
  }

  @Test func whatWaitsIsBounded() {
    var way = Direction()
    way.add(0, "", flags: syn)
    var held = 0
    // Every second byte, so that nothing follows the next one, and each segment waits.
    for index in 0..<10_000 {
      way.add(UInt32(3 + 2 * index), "x")
      held = max(held, way.stream.waiting.segments.count)
    }
    #expect(held == OfflineLimits.waitingSegments)
    way.finish()
    #expect(way.recorder.delivered.count == 10_000)
    #expect(way.recorder.next == 20_001)
  }

  /// Reordered within a window, duplicated, overlapping, cut, lost, across the wrap of sequence numbers.
  @Test(arguments: 0..<100) func survivesWhatNetworksDo(seed: Int) {
    var random = SeededGenerator(seed: UInt64(seed))
    let original = (0..<Int.random(in: 1...20_000, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random)
    }
    let first = UInt32.max &- UInt32.random(in: 0...20_000, using: &random)
    var wires: [(position: Int, wire: (bytes: [UInt8], length: Int))] = []
    var lost = Set<Int>()
    var position = 0
    while position < original.count {
      let length = min(Int.random(in: 1...1448, using: &random), original.count - position)
      let overlap = Int.random(in: 0...10, using: &random) == 0 ? min(position, 100) : 0
      let payload = original[(position - overlap)..<(position + length)]
      let sequence = first &+ 1 &+ UInt32(position - overlap)
      let copies = [1, 1, 1, 1, 1, 1, 2, 3, seed % 3 == 0 ? 0 : 1][Int.random(in: 0..<9, using: &random)]
      if copies == 0 { lost.formUnion(position..<position + length) }
      for _ in 0..<copies {
        wires.append((position + Int.random(in: 0...6_000, using: &random), segment(sequence: sequence, payload)))
      }
      // An overlapping segment can bring back the end of a lost one.
      if copies > 0 { lost.subtract((position - overlap)..<position) }
      position += length
    }
    wires.sort { $0.position < $1.position }

    var way = Direction()
    way.add(segment(sequence: first, [], flags: syn))
    for wire in wires { way.add(wire.wire) }
    way.add(segment(sequence: first &+ 1 &+ UInt32(original.count), [], flags: finAck))
    way.finish()

    #expect(way.stream.isFinished)
    #expect(way.stream.waiting.heldBytes == 0)
    #expect(way.stream.waiting.contradictions == 0)
    let result = way.recorder.stream
    #expect(result.count == original.count)
    var missing = Set<Int>()
    var wrong = 0
    for (position, byte) in result.enumerated() {
      if byte == nil { missing.insert(position) } else if byte != original[position] { wrong += 1 }
    }
    #expect(wrong == 0, "seed \(seed)")
    #expect(missing == lost, "seed \(seed)")
  }
}
