// What an address is called, where that costs nothing: by the container that has it, or by /etc/hosts. No query leaves the machine.
import Glibc

struct AddressNames {
  static let maximumFileBytes = 1 << 20
  static let maximumNames = 16_384
  private static let path = "/etc/hosts"

  /// From /etc/hosts, as it was when the capture began.
  private var hosts: [String: String]
  private var containers: [String: String] = [:]

  init() { hosts = AddressNames.hosts(parsing: readFile(AddressNames.path, limitBytes: Self.maximumFileBytes) ?? []) }

  subscript(address: String) -> String? { containers[address] ?? hosts[address] }

  /// Takes what is known of containers by now. A pod's containers share its addresses, so there it is the pod's name; an address
  /// that several have in different networks has none.
  mutating func update(_ descriptions: [(ContainerIdentity, ContainerDescription)]) {
    containers.removeAll(keepingCapacity: true)
    var ambiguous: Set<String> = []
    for (_, description) in descriptions {
      guard let name = description.pod ?? description.name else { continue }
      for address in description.addresses where containers.updateValue(name, forKey: address) ?? name != name {
        ambiguous.insert(address)
      }
    }
    for address in ambiguous { containers[address] = nil }
  }

  /// Lines of hosts(5): an address, its name, aliases; the first name of an address counts. Loopback is nobody in particular.
  static func hosts(parsing content: [UInt8]) -> [String: String] {
    var names: [String: String] = [:]
    for line in content.split(separator: UInt8(ascii: "\n")) where names.count < maximumNames {
      let text = String(decoding: line.prefix { $0 != UInt8(ascii: "#") }, as: UTF8.self)
      let words = text.split { $0 == " " || $0 == "\t" }
      guard words.count > 1, words[1].utf8.count <= 255, !words[0].hasPrefix("127."), words[0] != "::1" else {
        continue
      }
      let address = canonical(String(words[0]))
      if names[address] == nil { names[address] = String(words[1]) }
    }
    return names
  }

  /// As flows tell it: `FD00::0:1` may stand in the file for `fd00::1`.
  private static func canonical(_ address: String) -> String {
    var binary = in6_addr()
    guard inet_pton(AF_INET6, address, &binary) == 1 else { return address }
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    guard inet_ntop(AF_INET6, &binary, &text, socklen_t(text.count)) != nil else { return address }
    return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }
}
