// The loop that every stage runs: frames in, frames or text out, scopes opened and closed, one place for what goes wrong.
private import CMalloc
import Glibc

/// A program between two pipes.
public protocol Stage: ~Copyable {
  /// One frame of the input, in order.
  ///
  /// Decode the frame before acting on it: it may be handed over a second time if its decoding throws.
  mutating func receive(_ frame: Frame, into output: inout Output) throws(WireError)

  /// The scope of ids ends: an end frame follows, or the stream was cut short. Emit what is pending, forget the ids.
  mutating func endScope(into output: inout Output)

  /// How long the stage holds things back while no input comes, in nanoseconds; nil where it waits for nothing.
  var patienceNanoseconds: UInt64? { get }

  /// No input has come for so long. Emit what was held back for that time; the rest has a patience of its own.
  mutating func losePatience(into output: inout Output)
}

extension Stage where Self: ~Copyable {
  public var patienceNanoseconds: UInt64? { nil }
  public mutating func losePatience(into output: inout Output) {}
}

/// What the notice says that a stage puts before the end frame of a stream that has none of its own.
public enum CutShort {
  public static let atTheEnd = "the stream stopped without an end frame"
  public static let beforeTheNext = "a stream stopped without an end frame before the next"
}

/// Runs a stage over stdin and stdout.
public struct StageLoop: ~Copyable {
  let diagnostics: Diagnostics
  private var reader: FrameReader
  private var output: Output
  private var scopeIsOpen = false

  /// `input`, `output` and `errors` are file descriptors; the defaults are those of a filter.
  public init(
    program: String, input: Int32 = STDIN_FILENO, output: Int32 = STDOUT_FILENO, errors: Int32 = STDERR_FILENO
  ) {
    diagnostics = Diagnostics(program: program, descriptor: errors)
    reader = FrameReader(descriptor: input)
    self.output = Output(descriptor: output)
    keepFreedMemory()
  }

  /// Reads to the end of input and returns the exit status.
  public mutating func run(_ stage: inout some Stage & ~Copyable) -> ExitStatus {
    do throws(StageFailure) {
      while let frame = try nextFrame(&stage) {
        do throws(WireError) {
          try deliver(frame, to: &stage)
        } catch {
          guard error.isIndefiniteLength else { throw StageFailure.malformed(error) }
          let normalized = try reader.normalized(frame)
          do throws(WireError) { try deliver(normalized, to: &stage) } catch { throw StageFailure.malformed(error) }
        }
        if let failure = output.failure { throw failure }
      }
      if scopeIsOpen { cutShort(&stage, because: CutShort.atTheEnd, .warning) }
      output.flush()
      if let failure = output.failure { throw failure }
      return .success
    } catch {
      return finish(&stage, after: error)
    }
  }

  @inline(__always)
  private mutating func nextFrame(_ stage: inout some Stage & ~Copyable) throws(StageFailure) -> Frame? {
    if let frame = try reader.nextReady() { return frame }
    output.flush()
    while let patience = stage.patienceNanoseconds, !reader.waitForInput(nanoseconds: patience) {
      stage.losePatience(into: &output)
      output.flush()
      if let failure = output.failure { throw failure }
    }
    return try reader.next()
  }

  @inline(__always)
  private mutating func deliver(_ frame: Frame, to stage: inout some Stage & ~Copyable) throws(WireError) {
    if frame.kind != .data || !scopeIsOpen { try followScope(frame, &stage) }
    try stage.receive(frame, into: &output)
  }

  /// Opens and closes the scope with the frames that do so; throws for a frame outside of any.
  @inline(never)
  private mutating func followScope(_ frame: Frame, _ stage: inout some Stage & ~Copyable) throws(WireError) {
    switch frame.kind {
    case .hello:
      _ = try HelloFrame(frame)
      if scopeIsOpen { cutShort(&stage, because: CutShort.beforeTheNext, .warning) }
      scopeIsOpen = true
    case .end where scopeIsOpen:
      _ = try EndFrame(frame)
      scopeIsOpen = false
      stage.endScope(into: &output)
    default:
      guard scopeIsOpen else {
        throw WireError(
          offset: frame.fields.offset, expected: "a hello frame first", found: "a frame of kind \(frame.kind.rawValue)")
      }
    }
  }

  /// Ends the scope in the producer's place: what is pending goes out, a notice says why, an incomplete end frame follows.
  private mutating func cutShort(
    _ stage: inout some Stage & ~Copyable, because text: String, _ severity: NoticeFrame.Severity
  ) {
    scopeIsOpen = false
    stage.endScope(into: &output)
    var frames = ByteBuffer(capacityBytes: 512)
    NoticeFrame(stage: diagnostics.program, severity: severity, time: 0, text: text).append(to: &frames)
    let noticeBytes = frames.count
    EndFrame(isComplete: false, totals: []).append(to: &frames)
    // Through the stage itself, like any other frame: a formatter prints them, a decoder forwards them.
    for range in [0..<noticeBytes, noticeBytes..<frames.count] {
      let encoded = UnsafeRawBufferPointer(rebasing: frames.bytes[range])
      guard let frame = try? Frame(encoded: encoded, streamOffset: reader.offset) else { continue }
      try? stage.receive(frame, into: &output)
    }
  }

  private mutating func finish(_ stage: inout some Stage & ~Copyable, after failure: StageFailure) -> ExitStatus {
    switch failure {
    case .closedPipe:
      return .success
    case .malformed(let error):
      if scopeIsOpen { cutShort(&stage, because: error.message, .error) }
      output.flush()
      diagnostics.report(
        error.message, remedy: "The input must be a TapWire stream, as tap-capture writes it; see docs/tapwire.md.")
      return .badInput
    case .system(let operation, let code):
      diagnostics.report("\(operation) failed: \(errorText(code))")
      return .inputOutput
    }
  }
}

/// Sets the signals of a stage as a pipeline needs them.
///
/// SIGPIPE: a closed pipe is seen as EPIPE, which is success. SIGINT: the terminal sends it to all stages; `tap-capture`
/// ends the stream, and a stage whose stdin is a pipe or a socket goes on until that end arrives. A second SIGINT ends it,
/// and so does the first where stdin is a file.
public func installStageSignals() {
  signal(SIGPIPE, SIG_IGN)
  var status = stat()
  guard !isIgnored(SIGINT), fstat(STDIN_FILENO, &status) == 0,
    [S_IFIFO, S_IFSOCK].contains(status.st_mode & S_IFMT)
  else { return }
  var action = sigaction()
  action.__sigaction_handler.sa_handler = { _ in }
  action.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND)) | Int32(SA_RESTART)
  sigaction(SIGINT, &action, nil)
}

/// Whether the program was started with this signal ignored, as nohup(1) and the `&` of a script do: it stays so.
public func isIgnored(_ number: Int32) -> Bool {
  var action = sigaction()
  sigaction(number, nil, &action)
  return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
}

/// Lets malloc keep up to 8 MiB of what is freed, instead of giving each large value's memory back to the kernel and taking
/// it again, page by page, for the next: that was two thirds of a stage's time on values of 64 KiB.
private func keepFreedMemory() {
  mallopt(M_TRIM_THRESHOLD, 8 << 20)
  // Setting one ends malloc's own adjustment of the other. Larger blocks go back to the kernel as soon as they are free.
  mallopt(M_MMAP_THRESHOLD, 4 << 20)
}
