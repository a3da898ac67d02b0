// The Redis decoder alone: a recording that lies in memory is decoded without reading or writing files.
// Usage: decoder-benchmark RECORDING; prints the RESP bytes, and the seconds that decoding took.
import Glibc
import RESP
import TapWire

@main
struct DecoderBenchmark {
  static func main() throws {
    guard CommandLine.arguments.count == 2, let recording = map(CommandLine.arguments[1]) else {
      print("usage: decoder-benchmark RECORDING")
      exit(ExitStatus.usage.rawValue)
    }
    let frames = try frames(in: recording)
    var respBytes = 0
    for frame in frames where frame.kind == .data { respBytes += try DataFrame(frame).bytes.count }

    let context = RedisContext()
    var stage = DecoderStage(
      judge: RedisEvidence.judge,
      claim: { id, evidence in RedisFlow(id: id, evidence: evidence, context: context) },
      finish: context.finish)
    // Exchanges are made in memory and handed to a device that takes them without looking.
    var output = Output(descriptor: open("/dev/null", O_WRONLY))
    let clock = ContinuousClock()
    let start = clock.now
    for frame in frames { try stage.receive(frame, into: &output) }
    stage.endScope(into: &output)
    output.flush()
    let spent = (clock.now - start) / .seconds(1)
    print(respBytes, output.writtenBytes, spent)
  }

  private static func map(_ path: String) -> UnsafeRawBufferPointer? {
    let descriptor = open(path, O_RDONLY)
    guard descriptor >= 0 else { return nil }
    let length = Int(lseek(descriptor, 0, SEEK_END))
    // Populated at once: what is measured is not the reading of the file.
    guard length > 0, let base = mmap(nil, length, PROT_READ, MAP_PRIVATE | MAP_POPULATE, descriptor, 0),
      base != MAP_FAILED
    else { return nil }
    return UnsafeRawBufferPointer(start: base, count: length)
  }

  private static func frames(in recording: UnsafeRawBufferPointer) throws -> [Frame] {
    var frames: [Frame] = []
    var rest = recording
    while !rest.isEmpty {
      var reader = CBORReader(rest, streamOffset: 0)
      let content = try reader.readString()
      let encoded = UnsafeRawBufferPointer(rebasing: rest[..<(rest.count - reader.rest.count)])
      frames.append(try Frame(encoded: encoded, headBytes: encoded.count - content.count, streamOffset: 0))
      rest = reader.rest
    }
    return frames
  }
}
