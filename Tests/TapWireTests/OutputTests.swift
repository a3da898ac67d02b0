// The way out of a stage into a pipe that takes less than it is given.
import Glibc
import TapWire
import Testing

/// The other end of a pipe, read to its end by a thread of its own.
private final class PipeReader {
  private let descriptor: Int32
  private(set) var bytes: [UInt8] = []

  init(descriptor: Int32) { self.descriptor = descriptor }

  func readAll() {
    var piece = [UInt8](repeating: 0, count: 50_001)
    while true {
      let count = read(descriptor, &piece, piece.count)
      if count <= 0 { return }
      bytes += piece[..<count]
    }
  }
}

@Suite struct OutputTests {
  /// Small records and large frames in turn: each byte once and in order, however the kernel cuts the writes.
  @Test func partialWrites() throws {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0 && fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0)
    let reader = PipeReader(descriptor: ends[0])
    var thread = pthread_t()
    let started = pthread_create(
      &thread, nil,
      { reader in
        if let reader { Unmanaged<PipeReader>.fromOpaque(reader).takeUnretainedValue().readAll() }
        return nil
      }, Unmanaged.passUnretained(reader).toOpaque())
    try #require(started == 0)

    var output = Output(descriptor: ends[1])
    var expected: [UInt8] = []
    // Above the size of the pipe, and just around that from which on a frame goes out from where it lies.
    for size in [3_000_000, 65_500, 65_520, 65_536, 2_000_000, 7] {
      let content = (0..<size).map { UInt8(truncatingIfNeeded: ($0 &* 31) >> 7) }
      var frame = ByteBuffer(capacityBytes: size + 64)
      content.withUnsafeBytes {
        DataFrame(flow: 1, direction: .sent, time: 1, offset: 0, bytes: $0).append(to: &frame)
      }
      output.buffer.append("small, \(size)")
      output.endRecord()
      // 24, 25 and 26 stand for lengths of 1, 2 and 4 bytes.
      let headBytes = [24: 2, 25: 3, 26: 5][frame.bytes[0] & 0x1f] ?? 1
      output.forward(try Frame(encoded: frame.bytes, headBytes: headBytes, streamOffset: 0))
      expected += Array("small, \(size)".utf8) + Array(frame.bytes)
    }
    output.flush()
    close(ends[1])
    pthread_join(thread, nil)
    close(ends[0])
    #expect(output.failure == nil)
    #expect(output.writtenBytes == UInt64(expected.count))
    #expect(reader.bytes == expected)
  }
}
