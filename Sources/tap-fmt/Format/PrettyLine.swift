// An exchange as one line for people: ■ redis-cli → SET testkey hello from cli OK  100.129µs
import TapWire

/// Writes the default format.
struct PrettyLine {
  /// Characters of a request or a response that are shown; the rest is counted, and said.
  static let maximumCharacters = 256
  /// Characters of a process name that are shown; the kernel's are at most 15.
  static let maximumNameCharacters = 32

  let palette: Palette

  func append(
    _ exchange: ExchangeFrame, flow: DescribedFlow?, process: DescribedProcess?, peer: DescribedProcess?,
    server: ServerView?, to output: inout Output
  ) throws(WireError) {
    output.append("■ ")
    if let process, !process.text.isEmpty { output.append(process.text.bytes) } else { output.append("?") }
    output.append(UInt8(ascii: " "))
    appendArrow(flow?.role ?? .unknown, to: &output)
    // A line for both sides names both.
    if server != nil {
      output.append(UInt8(ascii: " "))
      if let peer, !peer.text.isEmpty { output.append(peer.text.bytes) } else { output.append("?") }
      output.append(UInt8(ascii: ":"))
    }
    if let request = exchange.request {
      try appendRequest(request, to: &output)
      if exchange.response == nil { output.append(" (no reply)") }
    }
    if let response = exchange.response { try appendResponse(response, to: &output) }
    if let end = exchange.end, exchange.request != nil {
      output.append("  ")
      output.append(palette.dim)
      output.appendDuration(end &- exchange.start)
      if let latency = server?.latencyNanoseconds {
        output.append(" (server ")
        output.appendDuration(latency)
        output.append(UInt8(ascii: ")"))
      }
      output.append(palette.reset)
    }
    try appendFlags(exchange.flags, to: &output)
    output.append(UInt8(ascii: "\n"))
  }

  private func appendArrow(_ role: Role, to output: inout Output) {
    output.append(palette.arrow)
    switch role {
    case .client: output.append("→")
    case .server: output.append("←")
    case .unknown: output.append("?")
    }
    output.append(palette.reset)
  }

  /// The request's values in the wire's order; an array stands for its elements, as a command line does.
  private func appendRequest(_ request: UnsafeRawBufferPointer, to output: inout Output) throws(WireError) {
    var budget = LineBudget(characters: PrettyLine.maximumCharacters)
    var reader = CBORReader(request, streamOffset: 0)
    for _ in 0..<(try reader.readMapHead()) {
      _ = try reader.readItem()
      var elements = 1
      if try reader.peekHead().major == .array { elements = try reader.readArrayHead() }
      for _ in 0..<elements {
        output.appendPunctuation(" ", &budget)
        try output.appendPretty(&reader, &budget)
      }
    }
    appendHidden(budget, to: &output)
  }

  /// The response's values, except those that only tell how to read another one.
  private func appendResponse(_ response: UnsafeRawBufferPointer, to output: inout Output) throws(WireError) {
    var budget = LineBudget(characters: PrettyLine.maximumCharacters)
    var reader = CBORReader(response, streamOffset: 0)
    let isError = try reader.tellsError()
    if isError { output.append(palette.error) }
    for _ in 0..<(try reader.readMapHead()) {
      let key = try reader.readItem()
      if reader.key(key, endsIn: "_type") || reader.key(key, endsIn: "_format") {
        _ = try reader.readItem()
      } else {
        output.appendPunctuation(" ", &budget)
        try output.appendPretty(&reader, &budget)
      }
    }
    appendHidden(budget, to: &output)
    if isError { output.append(palette.reset) }
  }

  private func appendHidden(_ budget: LineBudget, to output: inout Output) {
    guard budget.hiddenValues > 0 else { return }
    output.append(" …(+")
    output.appendDecimal(UInt64(budget.hiddenValues))
    output.append(budget.hiddenValues == 1 ? " value)" : " values)")
  }

  private func appendFlags(_ flags: UnsafeRawBufferPointer, to output: inout Output) throws(WireError) {
    var reader = CBORReader(flags, streamOffset: 0)
    let count = try reader.readArrayHead()
    guard count > 0 else { return }
    var budget = LineBudget(characters: PrettyLine.maximumCharacters)
    output.append(UInt8(ascii: " "))
    output.append(palette.flag)
    output.append(UInt8(ascii: "["))
    for index in 0..<count {
      if index > 0 { output.appendPunctuation(", ", &budget) }
      try output.appendPretty(&reader, &budget)
    }
    output.append(UInt8(ascii: "]"))
    output.append(palette.reset)
  }
}

extension CBORReader {
  fileprivate func key(_ key: UnsafeRawBufferPointer, endsIn suffix: StaticString) -> Bool {
    let end = UnsafeRawBufferPointer(start: suffix.utf8Start, count: suffix.utf8CodeUnitCount)
    return stringKey(key)?.suffix(end.count).elementsEqual(end) ?? false
  }

  /// Whether the map that the reader stands at has a `…_type` whose value ends in `error`.
  fileprivate func tellsError() throws(WireError) -> Bool {
    var reader = self
    for _ in 0..<(try reader.readMapHead()) {
      let key = try reader.readItem()
      let value = try reader.readItem()
      if self.key(key, endsIn: "_type"), let type = stringKey(value), type.suffix(5).elementsEqual("error".utf8) {
        return true
      }
    }
    return false
  }
}
