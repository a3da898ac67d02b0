// How far a sender may have come: what tells a segment of the connection from a stray, old or forged one.

/// The send window of one direction (RFC 9293, section 3.3.1), as far as a capture file tells it.
///
/// A receiver drops what lies beyond its window (section 3.10.7.4). A file can lack packets that the receiver got, many in a
/// row, so that the next ones lie beyond the window too. Then both ends tell of it: one sends from there, the other one
/// acknowledges it. A stray segment is alone.
struct SendWindow {
  /// How far the believed segments reach.
  var reach: Int64 = .min
  /// What the receiver has room for; nil until it said so.
  var bytes: Int64?
  /// Where the sender's last segment was, and what the receiver acknowledged last, if that is beyond the window. An end that
  /// has got there does not come back.
  private var sequence: Int64?
  private var acknowledgement: Int64?

  /// While the receiver has said nothing, as much as TCP can have.
  var dataBytes: Int64 { bytes ?? OfflineLimits.windowBytes }

  /// Whether the receiver has acknowledged what is sent there, and how far.
  mutating func acknowledgement(for sequence: Int64) -> Int64? {
    self.sequence = sequence
    return agree() ? acknowledgement : nil
  }

  /// Whether the sender has sent what is acknowledged there.
  mutating func isSent(_ acknowledgement: Int64) -> Bool {
    self.acknowledgement = acknowledgement
    return agree()
  }

  /// A segment within the window, which reaches to `end`.
  mutating func send(to end: Int64) {
    reach = max(reach, end)
    sequence = nil
  }

  /// An acknowledgement within the window, and what the receiver has room for behind it; nil where it is an old one.
  mutating func acknowledge(room: Int64?) {
    bytes = room ?? bytes
    acknowledgement = nil
  }

  private mutating func agree() -> Bool {
    guard let sequence, let acknowledgement else { return false }
    // What is on its way is no more than a window.
    let distance = min(max(dataBytes, OfflineLimits.unscaledWindowBytes), OfflineLimits.usualWindowBytes)
    guard abs(sequence - acknowledgement) <= distance else { return false }
    reach = max(reach, sequence, acknowledgement)
    return true
  }
}
