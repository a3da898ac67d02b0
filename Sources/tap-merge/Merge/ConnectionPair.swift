// A connection that was captured at both ends: which exchange of the one is which of the other.
//
// Both ends see the same exchanges in the same order. So once one of them is known to be the same, the next one is the next,
// and that its content is the same, too, is the proof. Where something is missing on one side, or a content differs, nothing is
// believed any more until two exchanges are the same for certain:
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
  /// Whether the first exchange that waits on one side is the first on the other one.
  private var isInStep: Bool
  /// The latest moment of anything on either side that has gone out, or is missing.
  private var latestPast: UInt64?
  /// Of the latest exchange on the client's side.
  private var latestClientNumber: UInt64?
  private let holdings: Holdings

  init(serverFlow: UInt64, isSeenFromTheBeginning: Bool, holdings: Holdings) {
    self.serverFlow = serverFlow
    isInStep = isSeenFromTheBeginning
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
    // What was before it is known to have been alone only now.
    if !onServer, !isInStep, exchange.beginsAlone, let number = latestClientNumber { synchronize(at: number, &output) }
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

  private func append(_ frame: HeldFrame, onServer: Bool) {
    holdings.bytes += frame.encoded.count + Holdings.frameBytes
    if onServer { server.append(frame) } else { client.append(frame) }
  }

  /// An exchange has waited for too long, and so have those in front of it.
  func release(_ number: UInt64, onServer: Bool, into output: inout Output) {
    if onServer { server.release(before: number + 1) } else { client.release(before: number + 1) }
    settle(&output)
  }

  // MARK: What is the same

  private func settle(_ output: inout Output) {
    drain(&output)
    while let first = client.first, let second = server.first {
      guard first.hasContent(of: second),
        first.times.meets(server: second.times, toleranceNanoseconds: Self.toleranceNanoseconds),
        isInStep || isBehindSilence(first) && isBehindSilence(second)
      else {
        isInStep = false
        break
      }
      isInStep = true
      merge(client.firstNumber, server.firstNumber)
      drain(&output)
    }
    // What waits for a side that is over waits for nothing.
    if client.isClosed, client.isEmpty { server.release(before: server.endNumber) }
    if server.isClosed, server.isEmpty { client.release(before: client.endNumber) }
    drain(&output)
  }

  private func isBehindSilence(_ exchange: HeldFrame) -> Bool {
    guard let latestPast else { return false }
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
      isInStep = true
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
      if frame.state == .ready { isInStep = false }
    }
    frame.write(to: &output)
  }
}
