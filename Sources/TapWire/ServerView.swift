// One exchange has two sides where both processes are on one machine: what the server's side saw stands beside the client's.

/// What the server's side of the connection saw of an exchange.
public struct ServerView: Equatable, Sendable {
  /// The server's flow.
  public var flow: UInt64
  /// The last byte of the request, as the server received it: nanoseconds of the monotonic clock.
  public var start: UInt64
  /// The last byte of the response, as the server sent it; nil where there is none. Never below `start`.
  public var end: UInt64?
  /// The first byte of the response; nil where there is none or it was not seen.
  public var firstByte: UInt64?
  /// The process that served it, where it is not the flow's.
  public var process: UInt64?

  /// From the last byte of the request to the last byte of the response, at the server.
  public var latencyNanoseconds: UInt64? { end.map { $0 &- start } }

  public init(flow: UInt64, start: UInt64, end: UInt64?, firstByte: UInt64?, process: UInt64?) {
    self.flow = flow
    self.start = start
    self.end = end
    self.firstByte = firstByte
    self.process = process
  }

  /// Takes the map that an exchange carries.
  public init(_ view: UnsafeRawBufferPointer) throws(WireError) {
    var reader = CBORReader(view, streamOffset: 0)
    try self.init(&reader)
  }

  /// Takes the map that the reader stands at. Members that are not known are ignored.
  init(_ reader: inout CBORReader) throws(WireError) {
    self.init(flow: 0, start: 0, end: nil, firstByte: nil, process: nil)
    let offset = reader.offset
    for _ in 0..<(try reader.readMapHead()) {
      switch try reader.readText() {
      case "flow": flow = try reader.readUnsigned()
      case "start": start = try reader.readUnsigned()
      case "end": end = try reader.readUnsigned()
      case "first_byte": firstByte = try reader.readUnsigned()
      case "process": process = try reader.readUnsigned()
      default: _ = try reader.readItem()
      }
    }
    if let end, end < start {
      throw WireError(offset: offset, expected: "an end at or behind the server's start, \(start)", found: "\(end)")
    }
  }

  /// Writes the map.
  public func append(to output: inout ByteBuffer) {
    let optional: [(StaticString, UInt64?)] = [("end", end), ("first_byte", firstByte), ("process", process)]
    output.appendMapHead(2 + optional.count { $0.1 != nil })
    output.appendText("flow" as StaticString)
    output.appendUnsigned(flow)
    output.appendText("start" as StaticString)
    output.appendUnsigned(start)
    for case (let name, let value?) in optional {
      output.appendText(name)
      output.appendUnsigned(value)
    }
  }
}
