// What is done with an exchange between its completion and its frame: it is hidden, its values are hidden or cut.
import TapWire

/// What a user wants to see of the exchanges.
package struct OutputRules: Sendable {
  package var filter = ExchangeFilter()
  package var redaction = Redaction()
  /// Longer values are cut to it.
  package var maximumValueBytes: Int?

  package init() {}

  package var isEmpty: Bool { filter.isEmpty && redaction.isEmpty && maximumValueBytes == nil }
}

/// Applies the rules to one exchange after the other. There is none where there are no rules.
final class ExchangeShaper {
  private let filter: ExchangeFilter
  @exclusivity(unchecked) private var redactor: ExchangeRedactor?
  private let cutter: ValueCutter?
  /// Whether exchanges that are shown stay as they are.
  let changesNothing: Bool
  @exclusivity(unchecked) private var request = ByteBuffer(capacityBytes: 256)
  @exclusivity(unchecked) private var response = ByteBuffer(capacityBytes: 256)
  /// Exchanges that are hidden because nobody knows the database they are for.
  @exclusivity(unchecked) private(set) var unknownDatabases: UInt64 = 0

  init(_ rules: OutputRules) {
    filter = rules.filter
    redactor = rules.redaction.isEmpty ? nil : ExchangeRedactor(rules.redaction)
    changesNothing = rules.redaction.isEmpty && rules.maximumValueBytes == nil
    cutter = rules.maximumValueBytes.map { ValueCutter(limitBytes: $0) }
  }

  /// `database`: what the connection has told of it.
  func shows(_ exchange: ExchangeFilter.Candidate, database: Int64?) -> Bool {
    guard filter.shows(exchange) else { return false }
    guard !filter.databases.isEmpty else { return true }
    guard let database else {
      unknownDatabases += 1
      return false
    }
    return filter.databases.contains(database)
  }

  /// Says once what was hidden for want of knowledge.
  func finish(into output: inout Output) {
    guard unknownDatabases > 0 else { return }
    NoticeFrame(
      stage: "tap-resp", severity: .warning, time: 0,
      text:
        "\(unknownDatabases) exchanges are hidden by --db: their database is not known, since their connection was open "
        + "before the capture, or bytes of it are missing",
      counters: [("unknown_database", unknownDatabases)]
    ).append(to: &output.buffer)
    output.endRecord()
    unknownDatabases = 0
  }

  /// The exchange as it is to be written. Its maps are valid until `endExchange`.
  func shaped(_ exchange: ExchangeFilter.Candidate) -> ExchangeFilter.Candidate {
    var shaped = redactor?.redacted(exchange) ?? exchange
    guard let cutter else { return shaped }
    if let map = shaped.request {
      if cutter.append(map, to: &request) { shaped.flags.insert(.cut) }
      shaped.request = request.bytes
    }
    if let map = shaped.response {
      if cutter.append(map, to: &response) { shaped.flags.insert(.cut) }
      shaped.response = response.bytes
    }
    return shaped
  }

  /// The exchange was written.
  func endExchange() {
    redactor?.removeAll(keepingBytes: ExchangeShaper.keptBytes)
    request.removeAll()
    request.shrink(toCapacityBytes: ExchangeShaper.keptBytes)
    response.removeAll()
    response.shrink(toCapacityBytes: ExchangeShaper.keptBytes)
  }

  /// What the buffers keep for the next exchange.
  private static let keptBytes = 64 << 10
}
