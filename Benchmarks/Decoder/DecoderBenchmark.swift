// The decoder alone: the data of a recording is in memory before the clock starts, and the exchanges go to /dev/null.
// Usage: decoder-benchmark RECORDING; prints the bytes of RESP, the exchanges and the seconds, as hiredis-reader does.
import Glibc
import RESP
import TapWire

/// The frames of a recording's Redis flows, in order.
struct Recording: ~Copyable {
  /// The bytes of all data frames, one behind the other.
  private var bytes = ByteBuffer(capacityBytes: 1 << 20)
  /// Where each frame's bytes end, and the frame without its bytes.
  private var frames: [(end: Int, frame: DataFrame)] = []
  private var descriptions: [UInt64: FlowFrame] = [:]

  init(path: String) throws {
    let descriptor = open(path, O_RDONLY)
    guard descriptor >= 0 else { throw StageFailure.system(operation: "opening \(path)", errno: errno) }
    defer { close(descriptor) }
    var reader = FrameReader(descriptor: descriptor)
    while let frame = try reader.next() {
      if frame.kind == .flow {
        let flow = try FlowFrame(frame)
        descriptions[flow.id] = flow
      } else if frame.kind == .data {
        var data = try DataFrame(frame)
        bytes.append(data.bytes)
        data.bytes = UnsafeRawBufferPointer(start: nil, count: 0)
        frames.append((bytes.count, data))
      }
    }
  }

  var byteCount: Int { bytes.count }

  /// A frame as small as can be, so that what is measured is the decoder and not the way of its input from memory.
  private struct Piece {
    var decoder: Int32
    var byteCount: UInt32
    var time: UInt64
    var direction: Direction
  }

  /// Decodes everything into `output`; returns the seconds that took.
  func decode(into output: inout Output) -> Double {
    let context = RedisContext()
    var decoders: [RedisFlow] = []
    var places: [UInt64: Int32] = [:]
    var pieces: [Piece] = []
    pieces.reserveCapacity(frames.count)
    var start = 0
    for (end, frame) in frames {
      var data = frame
      data.bytes = UnsafeRawBufferPointer(rebasing: bytes.bytes[start..<end])
      let place = places[data.flow] ?? Int32(decoders.count)
      if place == decoders.count {
        decoders.append(claim(data, context))
        places[data.flow] = place
      }
      pieces.append(
        Piece(decoder: place, byteCount: UInt32(end - start), time: data.time, direction: data.direction))
      start = end
    }
    let began = now()
    decodePieces(pieces, decoders.map { Unmanaged.passUnretained($0) }, into: &output)
    for decoder in decoders { decoder.close(at: nil, into: &output) }
    output.flush()
    return now() - began
  }

  private func decodePieces(_ pieces: [Piece], _ decoders: [Unmanaged<FlowDecoder>], into output: inout Output) {
    guard var next = bytes.bytes.baseAddress else { return }
    for piece in pieces {
      let data = DataFrame(
        flow: 0, direction: piece.direction, time: piece.time, offset: 0,
        bytes: UnsafeRawBufferPointer(start: next, count: Int(piece.byteCount)))
      decoders[Int(piece.decoder)]._withUnsafeGuaranteedRef { $0.receive(data, into: &output) }
      next += Int(piece.byteCount)
    }
  }

  /// A flow is claimed on its first bytes; here all of them are Redis, and the first ones tell the direction.
  private func claim(_ data: DataFrame, _ context: RedisContext) -> RedisFlow {
    let none = UnsafeRawBufferPointer(start: nil, count: 0)
    let isSent = data.direction == .sent
    return RedisFlow(
      id: data.flow,
      evidence: FlowEvidence(
        role: descriptions[data.flow]?.role ?? .unknown, isInterleaved: false,
        isFromBeginning: descriptions[data.flow]?.isPreexisting == false,
        sent: isSent ? data.bytes : none, received: isSent ? none : data.bytes),
      context: context)
  }

  private func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }
}

/// How many exchanges the recording gives: of a first pass, which also warms the memory.
func countExchanges(_ recording: borrowing Recording) throws -> Int {
  guard let file = tmpfile() else { throw StageFailure.system(operation: "making a file", errno: errno) }
  defer { fclose(file) }
  var output = Output(descriptor: fileno(file))
  _ = recording.decode(into: &output)
  if let failure = output.failure { throw failure }
  rewind(file)
  var reader = FrameReader(descriptor: fileno(file))
  var exchanges = 0
  while let frame = try reader.next() {
    if frame.kind == .exchange { exchanges += 1 }
  }
  return exchanges
}

@main
struct DecoderBenchmark {
  static func main() throws {
    guard CommandLine.arguments.count == 2 else {
      Diagnostics(program: "decoder-benchmark").report("no recording", remedy: "usage: decoder-benchmark RECORDING")
      exit(64)
    }
    let recording = try Recording(path: CommandLine.arguments[1])
    let exchanges = try countExchanges(recording)
    var output = Output(descriptor: open("/dev/null", O_WRONLY))
    let seconds = recording.decode(into: &output)
    print(recording.byteCount, exchanges, seconds)
  }
}
