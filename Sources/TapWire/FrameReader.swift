// The way into a stage: large reads, frames handed out in place, memory bounded by the largest frame allowed.
import Glibc

/// Reads the frames of a CBOR Sequence (RFC 8742) of byte strings from a file descriptor.
public struct FrameReader: ~Copyable {
  /// What one read asks for, and the buffer's size while frames are of ordinary size.
  static let readBytes = 256 << 10
  /// A byte string's longest head.
  static let maximumHeadBytes = 9

  private let descriptor: Int32
  private var base: UnsafeMutableRawPointer
  private var capacity: Int
  /// The unread bytes are `start..<end` of the buffer.
  private var start = 0
  private var end = 0
  /// Position in the stream of the byte at `start`.
  public private(set) var offset: UInt64 = 0
  private var reachedEnd = false
  /// A frame with indefinite lengths, rewritten, until the next one is asked for.
  private var rewritten: FrameBuffer?
  /// A frame that arrives in chunks, until the next one is asked for.
  private var chunked: ChunkedFrame?
  /// Whether there is either of the two: one check for the frames that are neither.
  private var holdsFrameApart = false

  public init(descriptor: Int32) {
    self.descriptor = descriptor
    capacity = FrameReader.readBytes
    base = .allocate(byteCount: capacity, alignment: 16)
    enlargePipe(descriptor)
  }

  deinit { base.deallocate() }

  /// The next frame, or nil at the end of the stream. The frame is valid until the next call.
  public mutating func next() throws(StageFailure) -> Frame? { try next(mayWait: true) }

  /// The next frame if it is there without waiting, or nil: the moment to flush before `next`.
  @inline(__always)
  public mutating func nextReady() throws(StageFailure) -> Frame? { try next(mayWait: false) }

  /// Whether there is more to read, its end included, within so many nanoseconds.
  func waitForInput(nanoseconds: UInt64) -> Bool {
    var input = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    // A signal does not count as input, and what it interrupts need not be exact.
    return poll(&input, 1, Int32(clamping: nanoseconds / 1_000_000)) > 0
  }

  @inline(__always)
  private mutating func next(mayWait: Bool) throws(StageFailure) -> Frame? {
    if !holdsFrameApart,
      let frame = Frame(short: base + start, readableBytes: end &- start, streamOffset: offset)
    {
      advance(Int(frame.encodedBytes))
      return frame
    }
    return try nextOfAnyForm(mayWait: mayWait)
  }

  @inline(never)
  private mutating func nextOfAnyForm(mayWait: Bool) throws(StageFailure) -> Frame? {
    // What was handed out is done with.
    rewritten = nil
    if chunked?.isWhole ?? false { chunked = nil }
    holdsFrameApart = chunked != nil
    while true {
      if chunked != nil {
        if let frame = try takeChunks() { return frame }
        guard try fill(atLeast: end - start + 1, mayWait: mayWait) else { return nil }
        continue
      }
      var wanted = end - start + 1
      switch try headOfNext() {
      case .frame(let headBytes, let contentBytes):
        wanted = headBytes + contentBytes
        if end - start >= wanted { return try takeFrame(headBytes, contentBytes) }
      case .chunked:
        chunked = ChunkedFrame(streamOffset: offset)
        holdsFrameApart = true
        advance(1)
        continue
      case .incomplete:
        break
      }
      guard try fill(atLeast: wanted, mayWait: mayWait) else { return nil }
    }
  }

  private enum Head {
    case frame(headBytes: Int, contentBytes: Int)
    case chunked
    case incomplete
  }

  private func headOfNext() throws(StageFailure) -> Head {
    var reader = CBORReader(UnsafeRawBufferPointer(start: base + start, count: end - start), streamOffset: offset)
    guard end > start else { return .incomplete }
    let initial = base.load(fromByteOffset: start, as: UInt8.self)
    guard CBORMajor(initialByte: initial) == .byteString, initial & 0x1f <= 27 || initial == 0x5f else {
      throw malformed("a byte string (a frame)", "initial byte 0x\(String(initial, radix: 16))")
    }
    if initial == 0x5f { return .chunked }
    guard end - start >= FrameReader.maximumHeadBytes || end - start >= cborHeadBytes(initialByte: initial) else {
      return .incomplete
    }
    let length: UInt64
    do { length = try reader.readHead().argument } catch { throw .malformed(error) }
    guard length <= UInt64(Frame.maximumBytes) else {
      throw malformed("a frame of at most \(Frame.maximumBytes) bytes", "a length of \(length)")
    }
    return .frame(headBytes: Int(truncatingIfNeeded: reader.offset &- offset), contentBytes: Int(length))
  }

  private func malformed(_ expected: String, _ found: String) -> StageFailure {
    .malformed(WireError(offset: offset, expected: expected, found: found))
  }

  private mutating func takeFrame(_ headBytes: Int, _ contentBytes: Int) throws(StageFailure) -> Frame {
    let encoded = UnsafeRawBufferPointer(start: base + start, count: headBytes &+ contentBytes)
    let frameOffset = offset
    advance(encoded.count)
    return try frame(encoded, headBytes, frameOffset)
  }

  private mutating func frame(
    _ encoded: UnsafeRawBufferPointer, _ headBytes: Int, _ streamOffset: UInt64
  ) throws(StageFailure) -> Frame {
    do {
      return try Frame(encoded: encoded, headBytes: headBytes, streamOffset: streamOffset)
    } catch {
      guard error.isIndefiniteLength else { throw .malformed(error) }
      return try rewrite(UnsafeRawBufferPointer(rebasing: encoded[headBytes...]), streamOffset &+ UInt64(headBytes))
    }
  }

  /// The same frame with definite lengths only, for a frame whose reading threw `isIndefiniteLength`.
  mutating func normalized(_ frame: Frame) throws(StageFailure) -> Frame {
    var outer = CBORReader(frame.encoded, streamOffset: frame.streamOffset)
    let content: UnsafeRawBufferPointer
    do { content = try outer.readString() } catch { throw .malformed(error) }
    return try rewrite(content, outer.offset &- UInt64(content.count))
  }

  @inline(never)
  private mutating func rewrite(_ content: UnsafeRawBufferPointer, _ contentOffset: UInt64) throws(StageFailure)
    -> Frame
  {
    var definite = FrameBuffer(capacityBytes: content.count + content.count / 64)
    do throws(WireError) {
      try CBORNormalizer.definite(content, streamOffset: contentOffset, into: &definite.content)
    } catch {
      throw .malformed(error)
    }
    guard definite.contentBytes <= Frame.maximumBytes else {
      throw malformed(
        "a frame of at most \(Frame.maximumBytes) bytes", "\(definite.contentBytes) with definite lengths")
    }
    // Offsets in errors stay near the original: the rewritten frame has no place of its own in the stream.
    let (encoded, headBytes) = definite.finish()
    rewritten = consume definite
    holdsFrameApart = true
    do { return try Frame(encoded: encoded, headBytes: headBytes, streamOffset: contentOffset) } catch {
      throw .malformed(error)
    }
  }

  /// The frame that arrives in chunks; nil if more input is needed.
  @inline(never)
  private mutating func takeChunks() throws(StageFailure) -> Frame? {
    let unread = UnsafeRawBufferPointer(start: base + start, count: end - start)
    do { advance(try chunked?.take(unread, at: offset) ?? 0) } catch { throw .malformed(error) }
    guard chunked?.isWhole ?? false, let streamOffset = chunked?.streamOffset,
      let (encoded, headBytes) = chunked?.joined.finish()
    else { return nil }
    return try frame(encoded, headBytes, streamOffset)
  }

  @inline(__always)
  private mutating func advance(_ bytes: Int) {
    start &+= bytes
    offset &+= UInt64(bytes)
  }

  /// Reads until `bytes` unread bytes are there. False at the end of input, or where that would take waiting and may not.
  @inline(never)
  private mutating func fill(atLeast bytes: Int, mayWait: Bool) throws(StageFailure) -> Bool {
    makeRoom(for: bytes)
    while end - start < bytes {
      if reachedEnd {
        if end == start, chunked == nil { return false }
        let frameOffset = chunked?.streamOffset ?? offset
        let got = offset &+ UInt64(end - start) &- frameOffset
        throw .malformed(
          WireError(
            offset: frameOffset, expected: "a whole frame", found: "the end of the input after \(got) bytes of it"))
      }
      guard inputIsReady(mayWait: mayWait) else { return false }
      let got = read(descriptor, base + end, capacity - end)
      if got > 0 {
        end += got
      } else if got == 0 {
        reachedEnd = true
      } else if errno != EINTR && errno != EAGAIN {
        throw .system(operation: "reading stdin", errno: errno)
      }
    }
    return true
  }

  private func inputIsReady(mayWait: Bool) -> Bool {
    var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    // A wait that a signal interrupted counts as ready: what was due is written by then, and read(2) waits as well.
    return poll(&waiting, 1, mayWait ? -1 : 0) != 0
  }

  private mutating func makeRoom(for bytes: Int) {
    let wanted = max(FrameReader.readBytes, bytes)
    // Large enough for the frame, and no larger than needed once an unusually large one has gone by.
    if capacity < wanted || (capacity > wanted && start == end && capacity > FrameReader.readBytes) {
      let moved = UnsafeMutableRawPointer.allocate(byteCount: wanted, alignment: 16)
      moved.copyMemory(from: base + start, byteCount: end - start)
      base.deallocate()
      base = moved
      capacity = wanted
    } else if start > 0 {
      base.copyMemory(from: base + start, byteCount: end - start)
    }
    end -= start
    start = 0
  }
}
