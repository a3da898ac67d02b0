// What the stream says about itself goes to stderr: stdout carries exchanges and nothing else.
import TapWire

/// Adds gaps up and passes notices on to a person.
struct Losses: ~Copyable {
  /// Reasons that are counted apart, and their length: those that docs/tapwire.md lists are fewer; the rest is counted as `other`.
  private static let maximumReasons = 16
  private static let maximumReasonBytes = 32
  private static let otherReason = GapFrame.Reason(rawValue: "other")
  /// Characters of a message that are shown.
  private static let maximumMessageCharacters = 1000
  /// Warnings of one stream that are shown; a stage may have one for each of thousands of flows.
  private static let maximumWarnings = 20

  private let program: String
  private let isVerbose: Bool
  private let report: (String) -> Void
  private var gaps: UInt64 = 0
  private var bytesByReason: [(reason: GapFrame.Reason, bytes: UInt64)] = []
  private var undecodedBytes: UInt64 = 0
  private var undecodedFlows: UInt64 = 0
  private var warnings: UInt64 = 0
  /// A notice said why the stream is cut: the end frame made in its place needs no further word.
  private var cutIsSaid = false

  /// `report` takes one message at a time; with `isVerbose` all warnings, notices that only inform, and the totals.
  init(program: String, isVerbose: Bool, report: @escaping (String) -> Void) {
    self.program = program
    self.isVerbose = isVerbose
    self.report = report
  }

  mutating func note(_ gap: GapFrame) {
    gaps += 1
    let isShort = gap.reason.rawValue.utf8.count <= Losses.maximumReasonBytes
    var index = bytesByReason.firstIndex { $0.reason == gap.reason }
    if index == nil {
      let reason = isShort && bytesByReason.count < Losses.maximumReasons ? gap.reason : Losses.otherReason
      index = bytesByReason.firstIndex { $0.reason == reason }
      if index == nil {
        index = bytesByReason.count
        bytesByReason.append((reason, 0))
      }
    }
    guard let index else { return }
    let (sum, overflow) = bytesByReason[index].bytes.addingReportingOverflow(gap.length)
    bytesByReason[index].bytes = overflow ? .max : sum
  }

  mutating func noteUndecoded(bytes: Int, isFirstOfFlow: Bool) {
    undecodedBytes &+= UInt64(bytes)
    if isFirstOfFlow { undecodedFlows += 1 }
  }

  mutating func note(_ notice: NoticeFrame) {
    let isOwn = notice.stage == program
    if isOwn || notice.severity == .error || [CutShort.atTheEnd, CutShort.beforeTheNext].contains(notice.text) {
      cutIsSaid = true
    }
    // Malformed input is reported by the loop itself, with its remedy.
    if isOwn, notice.severity == .error { return }
    guard isVerbose || notice.severity != .info else { return }
    if notice.severity == .warning {
      warnings += 1
      guard isVerbose || warnings <= Losses.maximumWarnings else { return }
    }
    let stage = isOwn ? "" : "\(notice.stage): "
    say("\(stage)\(notice.severity.rawValue): \(notice.text)", notice.counters)
  }

  /// The scope is over: says what is missing in it. `forgotten` counts descriptions that found no room.
  mutating func end(_ end: EndFrame, forgotten: UInt64) {
    if !isVerbose, warnings > Losses.maximumWarnings {
      say("warning: \(warnings - UInt64(Losses.maximumWarnings)) more warnings; --verbose shows all", [])
    }
    if gaps > 0 {
      let total = bytesByReason.reduce(UInt64(0)) { sum, gap in
        let (next, overflow) = sum.addingReportingOverflow(gap.bytes)
        return overflow ? .max : next
      }
      say(
        "warning: \(total) bytes are missing in \(gaps) gaps", bytesByReason.map { ($0.reason.rawValue, $0.bytes) })
    }
    let lost = end.totals.filter { $0.name.hasPrefix("lost_") && $0.value > 0 }
    if !lost.isEmpty { say("warning: the capture counted losses", lost) }
    if forgotten > 0 {
      say("warning: \(forgotten) descriptions of processes and connections were dropped to bound memory", [])
    }
    if undecodedBytes > 0 {
      let unit = undecodedFlows == 1 ? "connection" : "connections"
      let flows = undecodedFlows == 0 ? "" : " of \(undecodedFlows) \(unit)"
      say("\(undecodedBytes) bytes\(flows) were not decoded by any stage before tap-fmt (tap-resp, tap-http)", [])
    }
    if !end.isComplete, !cutIsSaid { say("warning: the stream is incomplete: it was cut short before its end", []) }
    if isVerbose { say("info: end of the stream", end.totals) }
    gaps = 0
    undecodedBytes = 0
    undecodedFlows = 0
    warnings = 0
    bytesByReason = []
    cutIsSaid = false
  }

  /// Reports a message whose parts come from the wire: visible characters only, and not without end.
  private func say(_ message: String, _ counters: [(name: String, value: UInt64)]) {
    var text = message
    if !counters.isEmpty {
      text += " (" + counters.map { "\($0.name) \($0.value)" }.joined(separator: ", ") + ")"
    }
    var shown = ByteBuffer(capacityBytes: 256)
    var budget = LineBudget(characters: Losses.maximumMessageCharacters)
    let isWhole = text.withUTF8 { shown.appendVisible(UnsafeRawBufferPointer($0), &budget) }
    if !isWhole { shown.append("…") }
    report(String(decoding: shown.bytes, as: UTF8.self))
  }
}
