// Nothing is lost silently: notices say what happened, the end frame says that the stream is whole.

/// Something a person should know about the stream.
public struct NoticeFrame: Equatable, Sendable {
  public enum Severity: String, Sendable {
    case info
    case warning
    case error
  }

  /// The stage that says it: `tap-resp`.
  public var stage: String
  public var severity: Severity
  /// Nanoseconds of the capture's monotonic clock.
  public var time: UInt64
  public var text: String
  /// Counted things, in a stable order.
  public var counters: [(name: String, value: UInt64)]

  public init(
    stage: String, severity: Severity, time: UInt64, text: String, counters: [(name: String, value: UInt64)] = []
  ) {
    self.stage = stage
    self.severity = severity
    self.time = time
    self.text = text
    self.counters = counters
  }

  public init(_ frame: Frame) throws(WireError) {
    try frame.require(5, "notice")
    var fields = frame.fields
    stage = try fields.readText()
    severity = Severity(rawValue: try fields.readText()) ?? .warning
    time = try fields.readUnsigned()
    text = try fields.readText()
    counters = try fields.readCounters()
    try frame.requireEnd(fields, after: 5)
  }

  public func append(to output: inout ByteBuffer) {
    output.appendFrame(.notice, fields: 5) { output in
      output.appendText(stage)
      output.appendText(severity.rawValue)
      output.appendUnsigned(time)
      output.appendText(text)
      output.appendCounters(counters)
    }
  }

  public static func == (left: NoticeFrame, right: NoticeFrame) -> Bool {
    left.stage == right.stage && left.severity == right.severity && left.time == right.time && left.text == right.text
      && left.counters.elementsEqual(right.counters) { $0 == $1 }
  }
}

/// The last frame of a scope.
public struct EndFrame {
  /// False where the stream was cut short, and a stage ended it in the producer's place.
  public var isComplete: Bool
  /// What the producer counted.
  public var totals: [(name: String, value: UInt64)]

  public init(isComplete: Bool, totals: [(name: String, value: UInt64)]) {
    self.isComplete = isComplete
    self.totals = totals
  }

  public init(_ frame: Frame) throws(WireError) {
    try frame.require(2, "end")
    var fields = frame.fields
    isComplete = try fields.readBool()
    totals = try fields.readCounters()
    try frame.requireEnd(fields, after: 2)
  }

  public func append(to output: inout ByteBuffer) {
    output.appendFrame(.end, fields: 2) { output in
      output.appendBool(isComplete)
      output.appendCounters(totals)
    }
  }
}

extension CBORReader {
  fileprivate mutating func readCounters() throws(WireError) -> [(name: String, value: UInt64)] {
    var counters: [(name: String, value: UInt64)] = []
    let start = offset
    let pairs = try readMapHead()
    // A stage counts tens of things; a count in the millions is an attempt at its memory.
    guard pairs <= 1024 else {
      throw WireError(offset: start, expected: "at most 1024 counters", found: "\(pairs)")
    }
    for _ in 0..<pairs {
      let name = try readText()
      counters.append((name, try readUnsigned()))
    }
    return counters
  }
}

extension ByteBuffer {
  fileprivate mutating func appendCounters(_ counters: [(name: String, value: UInt64)]) {
    appendMapHead(counters.count)
    for counter in counters {
      appendText(counter.name)
      appendUnsigned(counter.value)
    }
  }
}
