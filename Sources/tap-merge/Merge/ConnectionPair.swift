// A connection that was captured at both ends: which exchange of the one is which of the other.
//
// Both ends see the same exchanges in the same order. So once one of them is known to be the same, the next one is the next,
// and that its content is the same, too, is the proof; one that a filter has hidden on one side is counted all the same.
// Where something is missing on one side, or a content differs, nothing is believed any more until two exchanges are the
// same for certain:
// - the first on both sides after a silence of the connection, in which everything under way has arrived;
// - or one that was alone on the client's side, nothing else sent and not answered, with nothing missing before or behind it,
//   and one of the same content that the server received and answered within that time: it answered no other then.
import TapWire

final class ConnectionPair {
  /// After so long without anything on either side nothing is under way.
  static let silenceNanoseconds: UInt64 = 100_000_000
  /// So late may a busy machine notice what it does.
  static let toleranceNanoseconds: UInt64 = 20_000_000

  private(set) var client = Side()
  private(set) var server = Side()
  private let serverFlow: UInt64
  /// By how much the ordinal of a server's view is greater than that of the client's view of the same exchange; nil where
  /// nobody knows.
  private var lead: Int64?
  /// The latest moment of anything on either side that has gone out, or is missing.
  private var latestPast: UInt64?
  /// Of the latest exchange on the client's side.
  private var latestClientNumber: UInt64?
  private let holdings: Holdings

  init(serverFlow: UInt64, isSeenFromTheBeginning: Bool, holdings: Holdings) {
    self.serverFlow = serverFlow
    lead = isSeenFromTheBeginning ? 0 : nil
    self.holdings = holdings
  }

  // MARK: Frames

  /// Whether frames of this side have to wait for one in front of them.
  func isHolding(onServer: Bool) -> Bool { !(onServer ? server : client).isEmpty }

  /// Takes an exchange and returns its number; nil where it need not wait.
  func receive(_ exchange: HeldFrame, onServer: Bool, into output: inout Output) -> UInt64? {
    var exchange = exchange
    let latestEnd = onServer ? server.latestEnd : client.latestEnd
    exchange.beginsAlone = latestEnd.map { $0 <= exchange.times.start } ?? false
    if onServer { server.count(&exchange) } else { client.count(&exchange) }
    // What was before it is known to have been alone only now.
    if !onServer, lead == nil, exchange.beginsAlone, let number = latestClientNumber {
      synchronize(at: number, &output)
    }
    let number = onServer ? server.endNumber : client.endNumber
    append(exchange, onServer: onServer)
    if onServer {
      server.latestEnd = exchange.times.end
    } else {
      client.latestEnd = exchange.times.end
      latestClientNumber = number
    }
    settle(&output)
    return (onServer ? server : client).holds(number) ? number : nil
  }

  /// Takes another frame of a side: behind what waits there.
  func receive(other frame: HeldFrame, onServer: Bool, into output: inout Output) {
    if frame.kind == .gap {
      if onServer { server.latestEnd = nil } else { client.latestEnd = nil }
    }
    append(frame, onServer: onServer)
    settle(&output)
  }

  /// A filter has hidden exchanges of a side in front of the next one.
  func receive(hidden count: UInt64, onServer: Bool) {
    if onServer { server.skip(count) } else { client.skip(count) }
  }

  private func append(_ frame: HeldFrame, onServer: Bool) {
    holdings.bytes += frame.encoded.count + Holdings.frameBytes
    if onServer { server.append(frame) } else { client.append(frame) }
  }

  /// An exchange has waited for too long, and so have those in front of it.
  func release(_ number: UInt64, onServer: Bool, into output: inout Output) {
    if onServer {
      server.release(before: number + 1, as: .alone)
    } else {
      client.release(before: number + 1, as: .alone)
    }
    settle(&output)
  }

  /// Whether the exchange still waits for the other side's view.
  func isWaiting(_ number: UInt64, onServer: Bool) -> Bool { (onServer ? server : client).isWaiting(number) }

  /// In step a server's view has a place, which the client takes as soon as it reads its response: that may be late.
  var isServerPatient: Bool { lead != nil }

  // MARK: What is the same

  private func settle(_ output: inout Output) {
    drain(&output)
    while let first = client.first, let second = server.first {
      if let lead, second.ordinal - lead != first.ordinal {
        // Hidden on the other side, or gone from there after its time.
        if second.ordinal - lead > first.ordinal {
          client.release(before: client.firstNumber + 1, as: .alone)
        } else {
          server.release(before: server.firstNumber + 1, as: .alone)
        }
        drain(&output)
        continue
      }
      guard first.hasContent(of: second),
        first.times.meets(server: second.times, toleranceNanoseconds: Self.toleranceNanoseconds),
        lead != nil || isBehindSilence(first) && isBehindSilence(second)
      else {
        loseStep()
        break
      }
      lead = second.ordinal - first.ordinal
      merge(client.firstNumber, server.firstNumber)
      drain(&output)
    }
    // What waits for a side that is over waits for nothing.
    if client.isClosed, client.isEmpty { server.release(before: server.endNumber) }
    if server.isClosed, server.isEmpty { client.release(before: client.endNumber) }
    drain(&output)
  }

  /// What the server saw waits no longer than anything else from now on.
  private func loseStep() {
    guard lead != nil else { return }
    lead = nil
    for number in server.firstNumber..<server.endNumber where server.isWaiting(number) {
      let exchange = Holdings.Waiting(pair: self, isOnServer: true, number: number, time: server[number].times.last)
      holdings.append(exchange, isPatient: false)
    }
  }

  private func isBehindSilence(_ exchange: HeldFrame) -> Bool {
    guard let latestPast, !exchange.isBehindHidden else { return false }
    let (limit, overflow) = latestPast.addingReportingOverflow(Self.silenceNanoseconds)
    return !overflow && exchange.times.start >= limit
  }

  /// `number` was alone on the client's side: the server's that happened within it is the same one.
  private func synchronize(at number: UInt64, _ output: inout Output) {
    guard client.holds(number), client[number].beginsAlone, client[number].state == .waiting else { return }
    let exchange = client[number]
    var candidate = server.endNumber
    while candidate > server.firstNumber {
      candidate -= 1
      let other = server[candidate]
      guard other.kind == .exchange else { continue }
      if other.times.start < exchange.times.start { return }
      guard other.state == .waiting, exchange.times.encloses(other.times), exchange.hasContent(of: other) else {
        continue
      }
      client.release(before: number)
      server.release(before: candidate)
      drain(&output)
      lead = other.ordinal - exchange.ordinal
      merge(number, candidate)
      drain(&output)
      return
    }
  }

  private func merge(_ number: UInt64, _ other: UInt64) {
    client[number].merge(server[other], of: serverFlow)
    server[other].state = .taken
  }

  // MARK: Out

  private func drain(_ output: inout Output) {
    while let frame = client.popReady() { pass(frame, onServer: false, &output) }
    while let frame = server.popReady() { pass(frame, onServer: true, &output) }
  }

  private func pass(_ frame: HeldFrame, onServer: Bool, _ output: inout Output) {
    holdings.bytes -= frame.encoded.count + Holdings.frameBytes
    if frame.kind == .close {
      if onServer { server.isClosed = true } else { client.isClosed = true }
    }
    if frame.kind == .exchange || frame.kind == .gap {
      latestPast = max(latestPast ?? 0, frame.times.last)
      // What goes out by itself is in nobody's order.
      if frame.state == .ready { loseStep() }
    }
    frame.write(to: &output)
  }
}
