// What must hold of every capture, whatever the peers say: the fuzzer looks for one of which it does not.
import Glibc
import RESP
import TapWire

/// Decodes captures in memory and looks at what comes out.
package final class Checks {
  private let output = Checks.makeOutput()

  package init() {}

  /// A file without a name: memory in most places.
  private static func makeOutput() -> Int32 {
    var path = Array("/tmp/tap-fuzz-XXXXXX".utf8CString)
    let descriptor = mkstemp(&path)
    precondition(descriptor >= 0, "mkstemp: \(errorText(errno))")
    unlink(path)
    return descriptor
  }

  deinit { close(output) }

  /// What does not hold of the capture that `input` stands for; nil where all does.
  ///
  /// Frames of one byte hold back more than 64 KiB from about 2500 bytes on, and are released unclaimed: the capture must
  /// be smaller.
  package func failure(_ input: UnsafeRawBufferPointer) -> String? {
    let scenario = Scenario(input)
    do throws(Failure) {
      guard let whole = try decode(scenario, bytewise: false), let bytewise = try decode(scenario, bytewise: true)
      else { return nil }
      for flow in Set(whole.keys).union(bytewise.keys) {
        let whole = whole[flow] ?? Flow()
        let bytewise = bytewise[flow] ?? Flow()
        guard whole.agrees(with: bytewise) else {
          return "flow \(flow):\n\(whole.rendered)\nand cut into bytes:\n\(bytewise.rendered)"
        }
      }
      return nil
    } catch { return error.text }
  }

  private struct Failure: Error { var text: String }

  /// The exchanges of a flow, as they were written.
  private struct Flow {
    /// Those before the first doubt: behind it a boundary is looked for, and what is seen of it depends on the frames.
    private var certain: [[UInt8]] = []
    private var isDoubted = false

    mutating func add(_ exchange: [UInt8], flags: [String]) {
      isDoubted = isDoubted || flags.contains("unvouched") || flags.contains("malformed")
      if !isDoubted { certain.append(exchange) }
    }

    /// Whether they are the same as far as both are certain.
    func agrees(with other: Flow) -> Bool {
      let (shorter, longer) = certain.count < other.certain.count ? (self, other) : (other, self)
      return longer.certain.starts(with: shorter.certain)
        && (shorter.certain.count == longer.certain.count || shorter.isDoubted)
    }

    /// What is text in them: enough to see the difference.
    var rendered: String {
      let lines = certain.map { String(decoding: $0.map { (0x20...0x7e).contains($0) ? $0 : 0x2e }, as: UTF8.self) }
      return (lines + (isDoubted ? ["…"] : [])).joined(separator: "\n")
    }
  }

  private func decode(_ scenario: Scenario, bytewise: Bool) throws(Failure) -> [UInt64: Flow]? {
    ftruncate(output, 0)
    lseek(output, 0, SEEK_SET)
    var sink = Output(descriptor: output)
    let context = RedisContext()
    var stage = DecoderStage(
      judge: RedisEvidence.judge,
      claim: { id, evidence in RedisFlow(id: id, evidence: evidence, context: context) },
      excess: context.takeQuietest, finish: context.finish)
    for step in scenario.steps {
      switch step {
      case .data(let flow, let direction, let time, let offset, let bytes):
        let length = bytewise ? 1 : bytes.count
        for start in stride(from: 0, to: bytes.count, by: length) {
          try deliver(to: &stage, into: &sink) { buffer in
            bytes[start..<start + length].withUnsafeBytes {
              DataFrame(flow: flow, direction: direction, time: time, offset: offset + UInt64(start), bytes: $0)
                .append(to: &buffer)
            }
          }
        }
      case .flow(let frame): try deliver(to: &stage, into: &sink) { frame.append(to: &$0) }
      case .gap(let frame): try deliver(to: &stage, into: &sink) { frame.append(to: &$0) }
      case .close(let frame): try deliver(to: &stage, into: &sink) { frame.append(to: &$0) }
      }
    }
    stage.endScope(into: &sink)
    sink.flush()
    return try read(scenario)
  }

  /// Each frame in memory of its own, so that a sanitizer sees a read behind it.
  private func deliver(
    to stage: inout DecoderStage, into sink: inout Output, _ write: (inout ByteBuffer) -> Void
  ) throws(Failure) {
    var buffer = ByteBuffer(capacityBytes: 64)
    write(&buffer)
    let encoded = UnsafeMutableRawBufferPointer.allocate(byteCount: buffer.count, alignment: 1)
    defer { encoded.deallocate() }
    encoded.copyMemory(from: buffer.bytes)
    do throws(WireError) {
      var outer = CBORReader(UnsafeRawBufferPointer(encoded), streamOffset: 0)
      let content = try outer.readString()
      let frame = try Frame(
        encoded: UnsafeRawBufferPointer(encoded), headBytes: encoded.count - content.count, streamOffset: 0)
      try stage.receive(frame, into: &sink)
    } catch { throw Failure(text: "the stage refuses a good frame: \(error.message)") }
  }

  /// Reads the output as a stage behind it would: each frame and each exchange is whole, and what passes is what came in.
  private func read(_ scenario: Scenario) throws(Failure) -> [UInt64: Flow]? {
    let size = Int(lseek(output, 0, SEEK_END))
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
    defer { bytes.deallocate() }
    guard pread(output, bytes.baseAddress, size, 0) == size else { throw Failure(text: "pread: \(errorText(errno))") }
    var flows: [UInt64: Flow] = [:]
    var isSkipping = false
    var passed: [UInt64: [Direction: [UInt8]]] = [:]
    var rest = CBORReader(UnsafeRawBufferPointer(bytes), streamOffset: 0)
    do {
      while !rest.isAtEnd {
        let before = rest.rest
        let content = try rest.readString()
        let encoded = UnsafeRawBufferPointer(rebasing: before[..<(before.count - rest.rest.count)])
        let frame = try Frame(encoded: encoded, headBytes: encoded.count - content.count, streamOffset: 0)
        switch frame.kind {
        case .exchange:
          let exchange = try ExchangeFrame(frame)
          for part in [exchange.request, exchange.response, exchange.annotations, exchange.flags].compactMap({ $0 }) {
            var reader = CBORReader(part, streamOffset: 0)
            _ = try reader.readItem()
            guard reader.isAtEnd else { throw Failure(text: "an exchange has more than its items") }
          }
          if exchange.request == nil, exchange.response == nil { throw Failure(text: "an exchange has nothing in it") }
          var flags = CBORReader(exchange.flags, streamOffset: 0)
          let names = try (0..<flags.readArrayHead()).map { _ throws(WireError) in try flags.readText() }
          flows[exchange.flow, default: Flow()].add(Array(encoded), flags: names)
        case .data:
          let data = try DataFrame(frame)
          passed[data.flow, default: [:]][data.direction, default: []] += Array(data.bytes)
        case .notice: isSkipping = true
        default: break
        }
      }
    } catch let error as WireError {
      throw Failure(text: "the output is malformed: \(error.message)")
    } catch let failure as Failure {
      throw failure
    } catch { throw Failure(text: "\(error)") }
    for (flow, directions) in passed {
      for (direction, bytes) in directions where !scenario.said(flow, direction).starts(with: bytes) {
        throw Failure(text: "what passed on flow \(flow) is not what came in")
      }
    }
    // Where bytes were skipped a boundary was looked for, and what was found decides over what waited for its reply, too.
    if isSkipping { return nil }
    return flows
  }
}

extension Scenario {
  /// Everything that one side of a flow said.
  fileprivate func said(_ flow: UInt64, _ direction: Direction) -> [UInt8] {
    steps.flatMap { step -> [UInt8] in
      if case .data(flow, direction, _, _, let bytes) = step { return bytes }
      return []
    }
  }
}
