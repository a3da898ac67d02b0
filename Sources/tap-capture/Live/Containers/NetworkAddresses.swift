// The addresses of a container that has a network of its own, from /proc: no runtime and no name server is asked.
import TapWire

enum NetworkAddresses {
  /// That are kept of a container.
  static let maximumCount = 16

  /// The addresses in the network namespace of a process; none where that is ours, nil where it cannot be read. Loopback and
  /// link-local ones, which are the same everywhere, are left out.
  static func of(_ pid: Int32) -> [String]? {
    guard let namespace = readLink("/proc/\(pid)/ns/net") else { return nil }
    guard namespace != readLink("/proc/self/ns/net") else { return [] }
    let all =
      ipv4(parsing: readFile("/proc/\(pid)/net/fib_trie") ?? [])
      + ipv6(parsing: readFile("/proc/\(pid)/net/if_inet6") ?? [])
    return Array(all.prefix(maximumCount))
  }

  /// From /proc/PID/net/fib_trie: `|-- 10.88.0.5`, and below it `/32 host LOCAL`.
  static func ipv4(parsing table: [UInt8]) -> [String] {
    var found: [String] = []
    var address: Substring = ""
    for line in String(decoding: table, as: UTF8.self).split(separator: "\n") {
      let words = line.split(separator: " ")
      if words.count == 2, words[0] == "|--" { address = words[1] }
      guard found.count < maximumCount else { break }
      // Each address stands in the table of the local ones, and may stand in the main one too.
      guard words == ["/32", "host", "LOCAL"], !address.hasPrefix("127."), !found.contains(String(address)) else {
        continue
      }
      found.append(String(address))
    }
    return found
  }

  /// From /proc/PID/net/if_inet6: 32 digits, the interface's number, the prefix's length, the scope, flags, the interface.
  static func ipv6(parsing table: [UInt8]) -> [String] {
    String(decoding: table, as: UTF8.self).split(separator: "\n").compactMap { line in
      let words = line.split(separator: " ")
      // Scope 0 is everywhere (IPV6_ADDR_GLOBAL).
      guard words.count > 3, words[3] == "00", words[0].utf8.count == 32 else { return nil }
      let digits = Array(words[0].utf8)
      let bytes = stride(from: 0, to: 32, by: 2).compactMap { index in
        UInt8(String(decoding: digits[index...(index + 1)], as: UTF8.self), radix: 16)
      }
      guard bytes.count == 16,
        case .ip(let text, _) = bytes.withUnsafeBytes({ Address(bytes: $0, isIPv6: true, port: 0) })
      else { return nil }
      return text
    }
  }
}
