// --sample 1/N: some connections are decoded and the others are not, the same ones at both of their ends.
import TapWire

/// One connection in so many.
package struct ConnectionSample: Sendable {
  package let divisor: UInt32

  /// Nil where `divisor` is 0.
  package init?(oneIn divisor: UInt32) {
    guard divisor > 0 else { return nil }
    self.divisor = divisor
  }

  /// Decided by the two addresses alone: both flows of a connection within a machine, and the recordings of both machines,
  /// agree as far as both sides see the same addresses. Where these tell nothing, as with unix sockets, by the flow's id.
  package func includes(_ id: UInt64, _ evidence: FlowEvidence) -> Bool {
    let hash =
      evidence.connectionHash > 0 ? evidence.connectionHash : FlowFrame.mixed(UInt32(truncatingIfNeeded: id))
    return hash % divisor == 0
  }
}
