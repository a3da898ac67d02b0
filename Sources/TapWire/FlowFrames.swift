// The frames that carry a flow's bytes: data, gap, close. They are most of a stream, so they are read and written in place.

/// Bytes that a process moved over a flow.
public struct DataFrame {
  public var flow: UInt64
  public var direction: Direction
  /// When the bytes were moved: nanoseconds of the capture's monotonic clock.
  public var time: UInt64
  /// Position of the first byte in the flow's stream of that direction.
  public var offset: UInt64
  public var bytes: UnsafeRawBufferPointer
  /// The process that moved them, where it is not the flow's own (fork, a passed descriptor, exec).
  public var process: UInt64?

  @inlinable
  public init(
    flow: UInt64, direction: Direction, time: UInt64, offset: UInt64, bytes: UnsafeRawBufferPointer,
    process: UInt64? = nil
  ) {
    self.flow = flow
    self.direction = direction
    self.time = time
    self.offset = offset
    self.bytes = bytes
    self.process = process
  }

  @inlinable
  @inline(__always)
  public init(_ frame: Frame) throws(WireError) {
    if let quick = DataFrame(quick: frame) { self = quick } else { self = try DataFrame(checked: frame) }
  }

  /// Takes a frame of exactly five fields, all well formed, with bytes enough behind it in the reader's memory. Nil for
  /// any other.
  @inlinable
  @inline(__always)
  init?(quick frame: Frame) {
    guard frame.fieldCount == 5, let fields = QuickHeads(frame, heads: 5) else { return nil }
    var heads = fields
    flow = heads.take(.unsigned)
    let way = heads.takeByte()
    time = heads.takeTime()
    offset = heads.take(.unsigned)
    guard let bytes = heads.takeLastString(), way <= 1,
      !offset.addingReportingOverflow(UInt64(bytes.count)).overflow
    else { return nil }
    self.bytes = bytes
    direction = way == 0 ? .sent : .received
    process = nil
  }

  /// Takes any frame, or says what is wrong with it.
  @usableFromInline
  @inline(never)
  init(checked frame: Frame) throws(WireError) {
    try frame.require(5, "data")
    var fields = frame.fields
    flow = try fields.readUnsigned()
    direction = try fields.readDirection()
    time = try fields.readUnsigned()
    offset = try fields.readUnsigned()
    bytes = try fields.readString()
    guard !offset.addingReportingOverflow(UInt64(bytes.count)).overflow else {
      throw WireError(offset: fields.offset, expected: "an offset below 2^64", found: "data that ends beyond it")
    }
    process = frame.fieldCount > 5 && !fields.readNullIfPresent() ? try fields.readUnsigned() : nil
    try frame.requireEnd(fields, after: 6)
  }

  /// Writes the frame with its byte string's head; nothing is moved afterwards, whatever its size.
  @inlinable
  public func append(to output: inout ByteBuffer) {
    let processBytes = process.map { cborHeadBytes($0) } ?? 0
    let fixed = 3 + cborHeadBytes(flow) + cborHeadBytes(time) + cborHeadBytes(offset) + processBytes
    let content = fixed + cborHeadBytes(UInt64(bytes.count)) + bytes.count
    output.reserve(content + 64)
    output.appendHead(.byteString, UInt64(content))
    output.appendArrayHead(process == nil ? 6 : 7)
    output.appendUnsigned(FrameKind.data.rawValue)
    output.appendUnsigned(flow)
    output.appendUnsigned(UInt64(direction.rawValue))
    output.appendUnsigned(time)
    output.appendUnsigned(offset)
    output.appendBytes(bytes)
    if let process { output.appendUnsigned(process) }
  }
}

/// Bytes that were moved and are not in the stream.
public struct GapFrame: Equatable, Sendable {
  /// Why bytes are missing. The text is what the wire carries.
  public struct Reason: RawRepresentable, Equatable, Hashable, Sendable {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    /// The kernel ring had no room.
    public static let ringFull = Reason(rawValue: "ring_full")
    /// The bytes were cut by a limit or by the reader itself (MSG_TRUNC, a snap length).
    public static let truncated = Reason(rawValue: "truncated")
    /// Bytes moved where the capture does not look.
    public static let notCaptured = Reason(rawValue: "not_captured")
    /// The program's memory could not be read.
    public static let fault = Reason(rawValue: "fault")
    /// sendfile, splice and the like: the bytes were never in the program's memory.
    public static let sendfile = Reason(rawValue: "sendfile")
  }

  public var flow: UInt64
  public var direction: Direction
  public var time: UInt64
  /// Position of the first missing byte.
  public var offset: UInt64
  /// How many bytes are missing.
  public var length: UInt64
  public var reason: Reason

  public init(flow: UInt64, direction: Direction, time: UInt64, offset: UInt64, length: UInt64, reason: Reason) {
    self.flow = flow
    self.direction = direction
    self.time = time
    self.offset = offset
    self.length = length
    self.reason = reason
  }

  public init(_ frame: Frame) throws(WireError) {
    try frame.require(6, "gap")
    var fields = frame.fields
    flow = try fields.readUnsigned()
    direction = try fields.readDirection()
    time = try fields.readUnsigned()
    offset = try fields.readUnsigned()
    let start = fields.offset
    length = try fields.readUnsigned()
    guard !offset.addingReportingOverflow(length).overflow else {
      throw WireError(offset: start, expected: "a gap that ends below 2^64", found: "a length of \(length)")
    }
    reason = Reason(rawValue: try fields.readText())
    try frame.requireEnd(fields, after: 6)
  }

  public func append(to output: inout ByteBuffer) {
    output.appendFrame(.gap, fields: 6) { output in
      output.appendUnsigned(flow)
      output.appendUnsigned(UInt64(direction.rawValue))
      output.appendUnsigned(time)
      output.appendUnsigned(offset)
      output.appendUnsigned(length)
      output.appendText(reason.rawValue)
    }
  }
}

/// The end of a flow.
public struct CloseFrame: Equatable, Sendable {
  public var flow: UInt64
  public var time: UInt64
  /// `closed`, `reset`, `timed_out`, `dismissed`, `capture_ended` or another word.
  public var reason: String

  public init(flow: UInt64, time: UInt64, reason: String) {
    self.flow = flow
    self.time = time
    self.reason = reason
  }

  public init(_ frame: Frame) throws(WireError) {
    try frame.require(3, "close")
    var fields = frame.fields
    flow = try fields.readUnsigned()
    time = try fields.readUnsigned()
    reason = try fields.readText()
    try frame.requireEnd(fields, after: 3)
  }

  public func append(to output: inout ByteBuffer) {
    output.appendFrame(.close, fields: 3) { output in
      output.appendUnsigned(flow)
      output.appendUnsigned(time)
      output.appendText(reason)
    }
  }
}

extension ByteBuffer {
  /// Writes a frame of `kind` whose `fields` fields `body` writes, with the shortest head for its byte string.
  ///
  /// The content is moved once when its length is known: for small frames. `DataFrame` and exchanges know theirs before.
  public mutating func appendFrame(_ kind: FrameKind, fields: Int, _ body: (inout ByteBuffer) -> Void) {
    let start = count
    appendArrayHead(fields + 1)
    appendUnsigned(kind.rawValue)
    body(&self)
    replaceSubrange(start..<start, withHead: .byteString, UInt64(count - start))
  }
}
