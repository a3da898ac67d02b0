// What is done with an exchange between its completion and its frame: it is hidden, or its values are cut.
import TapWire

/// What a user wants to see of the exchanges.
package struct OutputRules: Sendable {
  package var filter = ExchangeFilter()
  /// Longer values are cut to it.
  package var maximumValueBytes: Int?

  package init() {}

  package var isEmpty: Bool { filter.isEmpty && maximumValueBytes == nil }
}

/// Applies the rules to one exchange after the other. There is none where there are no rules.
final class ExchangeShaper {
  private let filter: ExchangeFilter
  private let cutter: ValueCutter?
  @exclusivity(unchecked) private var request = ByteBuffer(capacityBytes: 256)
  @exclusivity(unchecked) private var response = ByteBuffer(capacityBytes: 256)
  /// Exchanges that are hidden because nobody knows the database they are for.
  @exclusivity(unchecked) private(set) var unknownDatabases: UInt64 = 0

  init(_ rules: OutputRules) {
    filter = rules.filter
    cutter = rules.maximumValueBytes.map { ValueCutter(limitBytes: $0) }
  }

  /// Whether exchanges that are shown stay as they are.
  var changesNothing: Bool { cutter == nil }

  /// `database`: what the connection has told of it.
  func shows(_ exchange: ExchangeFilter.Candidate, database: Int64?) -> Bool {
    guard filter.shows(exchange) else { return false }
    guard let wanted = filter.database else { return true }
    if database == nil { unknownDatabases += 1 }
    return database == wanted
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
    var shaped = exchange
    guard let cutter else { return shaped }
    if let map = exchange.request {
      if cutter.append(map, to: &request) { shaped.flags.insert(.cut) }
      shaped.request = request.bytes
    }
    if let map = exchange.response {
      if cutter.append(map, to: &response) { shaped.flags.insert(.cut) }
      shaped.response = response.bytes
    }
    return shaped
  }

  /// The exchange was written.
  func endExchange() {
    request.removeAll()
    request.shrink(toCapacityBytes: ExchangeShaper.keptBytes)
    response.removeAll()
    response.shrink(toCapacityBytes: ExchangeShaper.keptBytes)
  }

  /// What the buffers keep for the next exchange.
  private static let keptBytes = 64 << 10
}
