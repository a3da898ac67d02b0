// What decoders emit: a request with its response, self-describing, so that any formatter can print any protocol.

/// A request and its response.
///
/// `request` and `response` are CBOR maps with the names that the JSON output shows.
public struct ExchangeFrame {
  public var flow: UInt64
  /// The last byte of the request, or of the message where there is no request: nanoseconds of the monotonic clock.
  public var start: UInt64
  /// The last byte of the response; nil where there is none. Never below `start`: a negative latency is clamped and flagged.
  public var end: UInt64?
  /// `redis`, `http`, or the name that another decoder chose.
  public var protocolName: UnsafeRawBufferPointer
  public var request: UnsafeRawBufferPointer?
  public var response: UnsafeRawBufferPointer?
  /// A CBOR array of text strings, empty where all is well. docs/tapwire.md lists them.
  public var flags: UnsafeRawBufferPointer
  /// The first byte of the response; nil where there is none or it was not seen.
  public var firstByte: UInt64?
  /// The process that made the exchange, where it is not the flow's.
  public var process: UInt64?
  /// What the decoder says about the exchange beyond what was sent: a CBOR map with the names that the JSON output shows.
  public var annotations: UnsafeRawBufferPointer?
  /// What the server's side of the connection saw of the same exchange: a CBOR map (`ServerView`).
  public var server: UnsafeRawBufferPointer?

  public init(_ frame: Frame) throws(WireError) {
    try frame.require(7, "exchange")
    var fields = frame.fields
    flow = try fields.readUnsigned()
    start = try fields.readUnsigned()
    let endOffset = fields.offset
    end = fields.readNullIfPresent() ? nil : try fields.readUnsigned()
    if let end, end < start {
      throw WireError(offset: endOffset, expected: "an end at or behind the start, \(start)", found: "\(end)")
    }
    protocolName = try fields.readString()
    request = fields.readNullIfPresent() ? nil : try fields.readMapItem("a request, a map or null")
    response = fields.readNullIfPresent() ? nil : try fields.readMapItem("a response, a map or null")
    var walk = fields
    for _ in 0..<(try walk.readArrayHead()) { _ = try walk.readString() }
    flags = try fields.readItem()
    firstByte = frame.fieldCount > 7 && !fields.readNullIfPresent() ? try fields.readUnsigned() : nil
    process = frame.fieldCount > 8 && !fields.readNullIfPresent() ? try fields.readUnsigned() : nil
    annotations =
      frame.fieldCount > 9 && !fields.readNullIfPresent() ? try fields.readMapItem("annotations, a map or null") : nil
    if frame.fieldCount > 10, !fields.readNullIfPresent() {
      var view = fields
      _ = try ServerView(&view)
      server = try fields.readItem()
    }
    try frame.requireEnd(fields, after: 11)
  }

  public init(
    flow: UInt64, start: UInt64, end: UInt64?, protocolName: UnsafeRawBufferPointer, request: UnsafeRawBufferPointer?,
    response: UnsafeRawBufferPointer?, flags: UnsafeRawBufferPointer, firstByte: UInt64?, process: UInt64?,
    annotations: UnsafeRawBufferPointer? = nil, server: UnsafeRawBufferPointer? = nil
  ) {
    self.flow = flow
    self.start = start
    self.end = end
    self.protocolName = protocolName
    self.request = request
    self.response = response
    self.flags = flags
    self.firstByte = firstByte
    self.process = process
    self.annotations = annotations
    self.server = server
  }

  /// Writes the frame. Its length is computed first, so that nothing is moved; trailing nulls are left out.
  ///
  /// Large maps go to the kernel from where they lie: the output does not grow to their size.
  @inlinable
  public func append(to output: inout Output) {
    let trailing = server != nil ? 4 : annotations != nil ? 3 : process != nil ? 2 : firstByte != nil ? 1 : 0
    var content = 2 + cborHeadBytes(flow) + cborHeadBytes(start)
    content += end.map { cborHeadBytes($0) } ?? 1
    content += cborHeadBytes(UInt64(protocolName.count)) + protocolName.count
    content += (request?.count ?? 1) + (response?.count ?? 1) + flags.count
    if trailing > 0 { content += firstByte.map { cborHeadBytes($0) } ?? 1 }
    if trailing > 1 { content += process.map { cborHeadBytes($0) } ?? 1 }
    if trailing > 2 { content += annotations?.count ?? 1 }
    content += server?.count ?? 0
    output.buffer.reserve(min(content, Output.flushThresholdBytes) + 64)
    // The heads in one go: 37 bytes at most.
    let tail = output.buffer.unusedTail.assumingMemoryBound(to: UInt8.self)
    var written = storeCBORHead(.byteString, UInt64(content), at: tail)
    tail[written] = CBORMajor.array.rawValue | UInt8(8 + trailing)
    tail[written &+ 1] = UInt8(FrameKind.exchange.rawValue)
    written &+= 2
    written &+= storeCBORHead(.unsigned, flow, at: tail + written)
    written &+= storeCBORHead(.unsigned, start, at: tail + written)
    written &+= storeOptional(end, at: tail + written)
    written &+= storeCBORHead(.textString, UInt64(protocolName.count), at: tail + written)
    guard content < Output.flushThresholdBytes else {
      output.buffer.useTail(written)
      return appendLarge(trailing, to: &output)
    }
    written &+= store(protocolName, at: tail + written)
    written &+= store(request, at: tail + written)
    written &+= store(response, at: tail + written)
    written &+= store(flags, at: tail + written)
    if trailing > 0 { written &+= storeOptional(firstByte, at: tail + written) }
    if trailing > 1 { written &+= storeOptional(process, at: tail + written) }
    if trailing > 2 { written &+= store(annotations, at: tail + written) }
    if trailing > 3 { written &+= store(server, at: tail + written) }
    output.buffer.useTail(written)
    output.endRecord()
  }

  /// What follows the heads, for maps that the output would have to grow for.
  @usableFromInline
  @inline(never)
  func appendLarge(_ trailing: Int, to output: inout Output) {
    output.buffer.append(protocolName)
    output.appendMap(request)
    output.appendMap(response)
    output.buffer.append(flags)
    if trailing > 0 { output.buffer.appendOptional(firstByte) }
    if trailing > 1 { output.buffer.appendOptional(process) }
    if trailing > 2 { output.appendMap(annotations) }
    if trailing > 3 { output.appendMap(server) }
    output.endRecord()
  }

  /// Copies a part, or a null for none, and returns its length. There is room for it: the whole length was reserved.
  @inlinable
  @inline(__always)
  func store(_ part: UnsafeRawBufferPointer?, at target: UnsafeMutablePointer<UInt8>) -> Int {
    guard let part else {
      target[0] = 0xf6
      return 1
    }
    guard let start = part.baseAddress else { return 0 }
    UnsafeMutableRawPointer(target).copyMemory(from: start, byteCount: part.count)
    return part.count
  }

  @inlinable
  @inline(__always)
  func storeOptional(_ value: UInt64?, at target: UnsafeMutablePointer<UInt8>) -> Int {
    if let value { return storeCBORHead(.unsigned, value, at: target) }
    target[0] = 0xf6
    return 1
  }
}

extension Output {
  @inlinable
  mutating func appendMap(_ map: UnsafeRawBufferPointer?) {
    if let map { append(map) } else { buffer.appendNull() }
  }
}

extension ByteBuffer {
  @inlinable
  mutating func appendOptional(_ value: UInt64?) {
    if let value { appendUnsigned(value) } else { appendNull() }
  }
}
