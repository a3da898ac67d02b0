// What reading a capture file may hold in memory, and how long it waits for what is missing: every bound in one place.

enum OfflineLimits {
  /// Connections that are remembered, ended ones included; beyond it ended ones go first, then the quietest.
  static let connections = 32_768

  /// Segments of one direction that wait for an earlier one, and their bytes.
  static let waitingSegments = 1024
  static let waitingBytes = 4 << 20
  /// The same over all connections.
  static let allWaitingBytes = 12 << 20
  /// What a waiting segment costs beside its bytes.
  static let segmentOverheadBytes = 96

  /// Bytes that the peer has acknowledged are not sent again. A capture can show an acknowledgement before its data (packets
  /// of several queues of a network card), but not for long: packets of the connection, and time.
  static let acknowledgedPatiencePackets: UInt64 = 16
  static let acknowledgedPatienceNanoseconds: UInt64 = 100_000_000
  /// Bytes that nobody acknowledged may be sent again, later and later (RFC 6298, section 5.5).
  static let missingPatienceNanoseconds: UInt64 = 10_000_000_000

  /// The largest window that TCP has (RFC 7323, section 2.3): what lies further away is of another connection.
  static let windowBytes: Int64 = 1 << 30
  /// The largest window without scaling (RFC 9293, section 3.1).
  static let unscaledWindowBytes: Int64 = 65_535
  /// The same where the file does not say how windows are scaled: Linux and others give no more by themselves.
  static let usualWindowBytes: Int64 = 16 << 20
  /// How far behind the end of a connection its late segments may lie.
  static let lateBytes: Int64 = 16 << 20

  /// Segments that may be the first of another connection between the same ports, and wait for an answer.
  static let rivalSegments = 16

  /// IP packets whose fragments are collected, their bytes, and how long after the first one (Linux:
  /// net.ipv4.ipfrag_time).
  static let fragmentedPackets = 256
  static let fragmentBytes = 4 << 20
  static let fragmentPatienceNanoseconds: UInt64 = 30_000_000_000

  /// Different comments in a file that are remembered with the processes they name, and their bytes; beyond it processes
  /// are described again.
  static let comments = 4096
  static let commentBytes = 4 << 20
  /// The options of one packet in a pcapng file; longer ones are passed over.
  static let optionBytes = 64 << 10
  /// A process block in a pcapng file of macOS, which has a name and an identifier.
  static let processBlockBytes = 1024
}
