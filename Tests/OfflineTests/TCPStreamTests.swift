// Whatever happens to the segments of a stream, the bytes that come out are the stream's, and the rest is in gaps.
import TapWire
import Testing

@testable import tap_capture

/// Keeps what a stream delivers and checks that its offsets run on without a hole.
private struct Recorder: TCPStreamSink {
  var next: UInt64 = 0
  var delivered: [(offset: UInt64, bytes: [UInt8])] = []
  var missing: [(offset: UInt64, length: UInt64, reason: GapFrame.Reason)] = []

  mutating func deliver(_ bytes: UnsafeRawBufferPointer, offset: UInt64, time: UInt64) {
    #expect(offset == next)
    next += UInt64(bytes.count)
    delivered.append((offset, Array(bytes)))
  }

  mutating func miss(_ length: UInt64, offset: UInt64, time: UInt64, reason: GapFrame.Reason) {
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

extension TCPStream {
  fileprivate mutating func add(_ wire: (bytes: [UInt8], length: Int), packet: UInt64, to recorder: inout Recorder) {
    wire.bytes.withUnsafeBytes {
      guard let segment = TCPSegment(PacketBytes(bytes: $0), length: wire.length) else {
        Issue.record("the segment was not understood")
        return
      }
      if segment.isSyn { begin(behindSyn: segment.sequence) }
      add(segment, time: packet, packet: packet, to: &recorder)
    }
  }
}

/// A small generator with a seed that a failure can print (SplitMix64).
private struct Seeded: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

@Suite struct TCPStreamTests {
  @Test func bytesInOrderPassAtOnce() {
    var stream = TCPStream()
    var recorder = Recorder()
    stream.add(segment(sequence: 99, [], flags: 0x02), packet: 1, to: &recorder)
    stream.add(segment(sequence: 100, Array("hello ".utf8)), packet: 2, to: &recorder)
    stream.add(segment(sequence: 106, Array("world".utf8), flags: 0x11), packet: 3, to: &recorder)
    #expect(recorder.delivered.flatMap(\.bytes) == Array("hello world".utf8))
    #expect(stream.isFinished)
  }

  @Test func aSnapLengthCutIsAGapOfExactSize() {
    var stream = TCPStream()
    var recorder = Recorder()
    stream.add(segment(sequence: 1, Array("0123456789".utf8), cut: 4), packet: 1, to: &recorder)
    stream.add(segment(sequence: 11, Array("ab".utf8)), packet: 2, to: &recorder)
    #expect(recorder.missing.map(\.length) == [4])
    #expect(recorder.missing.first?.reason == .truncated)
    #expect(recorder.delivered.last?.offset == 10)
  }

  @Test func whatThePeerAcknowledgedAndNeverCameIsAGap() {
    var stream = TCPStream()
    var recorder = Recorder()
    stream.add(segment(sequence: 0, [], flags: 0x02), packet: 1, to: &recorder)
    stream.add(segment(sequence: 6, Array("later".utf8)), packet: 2, to: &recorder)
    #expect(recorder.delivered.isEmpty)
    for packet in 3...UInt64(TCPStream.patiencePackets + 3) {
      stream.acknowledge(11, packet: packet, time: packet, to: &recorder)
    }
    #expect(recorder.missing.map(\.length) == [5])
    #expect(recorder.delivered.last?.bytes == Array("later".utf8))
  }

  /// Reordered within a window, duplicated, overlapping, cut, lost, across the wrap of sequence numbers.
  @Test(arguments: 0..<100) func survivesWhatNetworksDo(seed: Int) {
    var random = Seeded(state: UInt64(seed))
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

    var stream = TCPStream()
    var recorder = Recorder()
    stream.add(segment(sequence: first, [], flags: 0x02), packet: 0, to: &recorder)
    for (packet, wire) in wires.enumerated() { stream.add(wire.wire, packet: UInt64(packet), to: &recorder) }
    stream.add(segment(sequence: first &+ 1 &+ UInt32(original.count), [], flags: 0x11), packet: 99, to: &recorder)
    stream.finish(time: 0, to: &recorder)

    #expect(stream.isFinished)
    #expect(stream.pendingBytes == 0)
    let result = recorder.stream
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
