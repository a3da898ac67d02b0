// The TCP sockets of the machine as /proc/net/tcp shows them: which ports are in use.

/// A line of a table like /proc/net/tcp.
struct SocketLine: Equatable {
  var localPort: UInt16
  var remotePort: UInt16
  var isListening: Bool

  /// The sockets of every network namespace that has a process.
  static func readAll() -> [SocketLine] {
    var seen: Set<UInt64> = []
    var lines: [SocketLine] = []
    for pid in runningProcesses() {
      guard let link = readLink("/proc/\(pid)/ns/net"), let namespace = inode(inLink: link, prefix: "net"),
        seen.insert(namespace).inserted
      else { continue }
      for table in ["tcp", "tcp6"] {
        lines += SocketLine.lines(parsing: readFile("/proc/\(pid)/net/\(table)", limitBytes: 64 << 20) ?? [])
      }
    }
    return lines
  }

  /// `sl local_address rem_address st …`: addresses and the state are hexadecimal, state 0A is LISTEN.
  static func lines(parsing table: [UInt8]) -> [SocketLine] {
    table.split(separator: UInt8(ascii: "\n")).compactMap { line in
      let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 4)
      guard fields.count > 3, let local = port(fields[1]), let remote = port(fields[2]) else { return nil }
      return SocketLine(localPort: local, remotePort: remote, isListening: fields[3].elementsEqual("0A".utf8))
    }
  }

  private static func port(_ address: ArraySlice<UInt8>) -> UInt16? {
    address.lastIndex(of: UInt8(ascii: ":")).flatMap {
      UInt16(String(decoding: address[($0 + 1)...], as: UTF8.self), radix: 16)
    }
  }
}
