// An exchange as one JSON object on one line (docs/json.md): request and response members as the decoder named them.
import TapWire

/// Writes the `--json` format.
struct JSONLine: ~Copyable {
  private var shapes = MapShapes()
  private var names = KeySet()
  /// The names of the last exchange that was spliced, encoded one after the other: most exchanges of a stream have the same.
  private var splicedNames = ByteBuffer(capacityBytes: 256)
  private var splicedRequestNames: Int?
  private var splicedResponseNames: Int?
  private var splicedAnnotationNames: Int?

  mutating func append(
    _ exchange: ExchangeFrame, within frame: Frame, flow: DescribedFlow?, process: DescribedProcess?,
    peer: DescribedProcess?, server: ServerView?, clock: inout WallClock, to output: inout Output
  ) throws(WireError) {
    let isSpliced = try canSplice(exchange, within: frame)
    shapes.forget()
    output.append("{\"time\":")
    clock.append(exchange.start, to: &output)
    output.append(",\"protocol\":")
    output.appendJSONString(exchange.protocolName)
    switch flow?.role ?? .unknown {
    case .client: output.append(",\"direction\":\"egress\"")
    case .server: output.append(",\"direction\":\"ingress\"")
    case .unknown: output.append(",\"direction\":null")
    }
    if isSpliced {
      if let request = exchange.request { try appendMembers(of: request, to: &output) }
      if let response = exchange.response { try appendMembers(of: response, to: &output) }
      if let annotations = exchange.annotations { try appendMembers(of: annotations, to: &output) }
    } else {
      output.append(",\"request\":")
      try appendWhole(exchange.request, to: &output)
      output.append(",\"response\":")
      try appendWhole(exchange.response, to: &output)
      if exchange.annotations != nil {
        output.append(",\"annotations\":")
        try appendWhole(exchange.annotations, to: &output)
      }
    }
    appendTimes(exchange, to: &output)
    if let server { append(server, to: &output) }
    if let flow { output.append(flow.text.bytes) } else { output.append(",\"client\":null,\"server\":null") }
    output.append(",\"process\":")
    if let process, !process.text.isEmpty { output.append(process.text.bytes) } else { output.append("null") }
    if let peer, !peer.text.isEmpty {
      output.append(",\"peer\":")
      output.append(peer.text.bytes)
    }
    try appendFlags(exchange.flags, to: &output)
    output.append("}\n")
  }

  /// Whether the members of request and response can stand beside ours: all names are strings, and no two are the same.
  private mutating func canSplice(_ exchange: ExchangeFrame, within frame: Frame) throws(WireError) -> Bool {
    if try hasSplicedNames(exchange) { return true }
    names.removeAll(within: frame.encoded)
    splicedNames.removeAll()
    // A stranger's names are not worth the memory.
    splicedNames.shrink(toCapacityBytes: 4096)
    splicedRequestNames = nil
    splicedResponseNames = nil
    splicedAnnotationNames = nil
    if let request = exchange.request {
      guard let count = try addNames(of: request) else { return false }
      splicedRequestNames = count
    }
    if let response = exchange.response {
      guard let count = try addNames(of: response) else { return false }
      splicedResponseNames = count
    }
    if let annotations = exchange.annotations {
      guard let count = try addNames(of: annotations) else { return false }
      splicedAnnotationNames = count
    }
    return true
  }

  /// Whether the names are those of the last exchange that was spliced, in the same places.
  private func hasSplicedNames(_ exchange: ExchangeFrame) throws(WireError) -> Bool {
    guard !splicedNames.isEmpty else { return false }
    var position = 0
    guard try matches(exchange.request, splicedRequestNames, &position) else { return false }
    guard try matches(exchange.response, splicedResponseNames, &position) else { return false }
    guard try matches(exchange.annotations, splicedAnnotationNames, &position) else { return false }
    return position == splicedNames.count
  }

  private func matches(
    _ map: UnsafeRawBufferPointer?, _ count: Int?, _ position: inout Int
  ) throws(WireError) -> Bool {
    guard let map else { return count == nil }
    var reader = CBORReader(map, streamOffset: 0)
    guard let count, try reader.readMapHead() == count else { return false }
    for _ in 0..<count {
      let name = try reader.readItem()
      guard splicedNames.count &- position >= name.count,
        equal(name, UnsafeRawBufferPointer(rebasing: splicedNames.bytes[position..<position &+ name.count]))
      else { return false }
      position &+= name.count
      _ = try reader.readItem()
    }
    return true
  }

  /// Adds the names of a map and returns how many they are; nil if one of them cannot stand beside the others.
  private mutating func addNames(of map: UnsafeRawBufferPointer) throws(WireError) -> Int? {
    var reader = CBORReader(map, streamOffset: 0)
    let count = try reader.readMapHead()
    for _ in 0..<count {
      let item = reader.rest
      guard let name = stringKey(item), !isReserved(name), names.insert(name, at: item) else {
        splicedNames.removeAll()
        return nil
      }
      splicedNames.append(try reader.readItem())
      _ = try reader.readItem()
    }
    return count
  }

  private mutating func appendMembers(
    of map: UnsafeRawBufferPointer, to output: inout Output
  ) throws(WireError) {
    var reader = CBORReader(map, streamOffset: 0)
    for _ in 0..<(try reader.readMapHead()) {
      output.append(UInt8(ascii: ","))
      try output.appendJSON(&reader, &shapes)
      output.append(UInt8(ascii: ":"))
      try output.appendJSON(&reader, &shapes)
    }
  }

  private mutating func appendWhole(
    _ map: UnsafeRawBufferPointer?, to output: inout Output
  ) throws(WireError) {
    guard let map else { return output.append("null") }
    var reader = CBORReader(map, streamOffset: 0)
    try output.appendJSON(&reader, &shapes)
  }

  private func appendTimes(_ exchange: ExchangeFrame, to output: inout Output) {
    if let end = exchange.end {
      let latency = end &- exchange.start
      output.append(",\"latency\":\"")
      output.appendDuration(latency)
      output.append("\",\"latency_ns\":")
      output.appendDecimal(latency)
    } else {
      output.append(",\"latency\":null,\"latency_ns\":null")
    }
    output.append(",\"first_byte_ns\":")
    appendFirstByte(exchange.firstByte, start: exchange.start, to: &output)
  }

  /// What the server saw of the same exchange. Literals cost less than names that are handed on, so they stand here again.
  private func append(_ server: ServerView, to output: inout Output) {
    output.append(",\"server_latency\":")
    if let latency = server.latencyNanoseconds {
      output.append(UInt8(ascii: "\""))
      output.appendDuration(latency)
      output.append("\",\"server_latency_ns\":")
      output.appendDecimal(latency)
    } else {
      output.append("null,\"server_latency_ns\":null")
    }
    output.append(",\"server_first_byte_ns\":")
    appendFirstByte(server.firstByte, start: server.start, to: &output)
  }

  private func appendFirstByte(_ firstByte: UInt64?, start: UInt64, to output: inout Output) {
    guard let firstByte else { return output.append("null") }
    // A server may begin to answer before it has the whole request.
    if firstByte >= start {
      output.appendDecimal(firstByte &- start)
    } else {
      output.append(UInt8(ascii: "-"))
      output.appendDecimal(start &- firstByte)
    }
  }

  private mutating func appendFlags(_ flags: UnsafeRawBufferPointer, to output: inout Output) throws(WireError) {
    // An array of one byte is empty, and most are.
    if flags.count == 1 { return }
    var reader = CBORReader(flags, streamOffset: 0)
    guard try reader.readArrayHead() > 0 else { return }
    reader = CBORReader(flags, streamOffset: 0)
    output.append(",\"flags\":")
    try output.appendJSON(&reader, &shapes)
  }
}

/// The names that tap-fmt itself gives to members of the line.
private func isReserved(_ name: UnsafeRawBufferPointer) -> Bool {
  func matches(_ reserved: StaticString) -> Bool {
    equal(name, UnsafeRawBufferPointer(start: reserved.utf8Start, count: reserved.utf8CodeUnitCount))
  }
  switch name.count {
  case 4: return matches("time") || matches("peer")
  case 5: return matches("flags") || matches("local")
  case 6: return matches("client") || matches("server") || matches("remote")
  case 7: return matches("latency") || matches("process") || matches("request")
  case 8: return matches("protocol") || matches("response") || matches("peer_pid")
  case 9: return matches("direction")
  case 10: return matches("latency_ns") || matches("connection") || matches("local_name")
  case 11:
    return matches("annotations") || matches("client_name") || matches("server_name") || matches("remote_name")
  case 13: return matches("first_byte_ns")
  case 14: return matches("server_latency")
  case 17: return matches("server_latency_ns")
  case 20: return matches("server_first_byte_ns")
  default: return false
  }
}
