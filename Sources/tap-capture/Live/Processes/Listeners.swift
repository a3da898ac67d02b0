// Who listened when the capture began: that tells the role of connections that were open by then.

/// A port on which somebody listens, in a network namespace (named by its inode).
struct Listener: Hashable {
  var networkNamespace: UInt32
  var port: UInt16
}

enum Listeners {
  /// The listeners of every network namespace that has a process.
  static func find() -> Set<Listener> {
    var seen: Set<UInt64> = []
    var listeners: Set<Listener> = []
    for pid in runningProcesses() {
      guard let link = readLink("/proc/\(pid)/ns/net"), let namespace = inode(inLink: link, prefix: "net"),
        seen.insert(namespace).inserted
      else { continue }
      for table in ["tcp", "tcp6"] {
        let content = readFile("/proc/\(pid)/net/\(table)", limitBytes: 64 << 20) ?? []
        for port in listeningPorts(parsing: content) {
          listeners.insert(Listener(networkNamespace: UInt32(truncatingIfNeeded: namespace), port: port))
        }
      }
    }
    return listeners
  }

  /// The local ports in state LISTEN (0A) of a table like /proc/net/tcp: `sl local_address rem_address st …`.
  static func listeningPorts(parsing table: [UInt8]) -> [UInt16] {
    table.split(separator: UInt8(ascii: "\n")).compactMap { line in
      let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 4)
      guard fields.count > 3, fields[3].elementsEqual("0A".utf8),
        let colon = fields[1].lastIndex(of: UInt8(ascii: ":"))
      else { return nil }
      return UInt16(String(decoding: fields[1][(colon + 1)...], as: UTF8.self), radix: 16)
    }
  }
}
