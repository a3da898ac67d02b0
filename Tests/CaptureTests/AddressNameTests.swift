// What an address is called: hosts(5), and the addresses of containers as /proc shows them.
import Testing

@testable import tap_capture

@Suite struct AddressNameTests {
  @Test func hosts() {
    let names = AddressNames.hosts(
      parsing: Array(
        """
        127.0.0.1 localhost
        ::1 localhost ip6-localhost
        # 10.0.0.1 commented
        10.0.0.2\tcache cache.example # behind
          10.0.0.3   db
        10.0.0.2 second
        FD00:0::0002 six
        10.0.0.4
        """.utf8))
    #expect(names == ["10.0.0.2": "cache", "10.0.0.3": "db", "fd00::2": "six"])
  }

  @Test func addressesOfANetworkNamespace() {
    let trie = """
      Main:
        +-- 0.0.0.0/0 3 0 5
           |-- 0.0.0.0
              /0 universe UNICAST
           +-- 10.88.0.0/16 2 0 2
              |-- 10.88.0.5
                 /32 host LOCAL
              |-- 10.88.255.255
                 /32 link BROADCAST
           |-- 127.0.0.1
              /32 host LOCAL
      Local:
        |-- 10.88.0.5
           /32 host LOCAL
      """
    #expect(NetworkAddresses.ipv4(parsing: Array(trie.utf8)) == ["10.88.0.5"])
    let table = """
      00000000000000000000000000000001 01 80 10 80       lo
      fd000000000000000000000000000005 02 40 00 80     eth0
      fe80000000000000a8bbccfffe000001 02 40 20 80     eth0
      fd0000000000000000000000000000zz 02 40 00 80     eth0
      """
    #expect(NetworkAddresses.ipv6(parsing: Array(table.utf8)) == ["fd00::5"])
  }

  @Test func containers() {
    func known(_ id: String, name: String, pod: String? = nil, _ addresses: [String])
      -> (ContainerIdentity, ContainerDescription)
    {
      let identity = ContainerIdentity(id: id, runtime: nil)
      var description = ContainerDescription(identity)
      description.name = name
      description.pod = pod
      description.addresses = addresses
      return (identity, description)
    }
    var names = AddressNames()
    names.update([
      known("1", name: "web", ["10.0.0.1", "fd00::1"]), known("2", name: "app", pod: "cart", ["10.0.0.2"]),
      known("3", name: "sidecar", pod: "cart", ["10.0.0.2"]), known("4", name: "a", ["10.0.0.9"]),
      known("5", name: "b", ["10.0.0.9"]),
    ])
    #expect(names["10.0.0.1"] == "web" && names["fd00::1"] == "web" && names["10.0.0.2"] == "cart")
    #expect(names["10.0.0.9"] == nil)
    names.update([known("1", name: "renamed", ["10.0.0.1"])])
    #expect(names["10.0.0.1"] == "renamed" && names["10.0.0.2"] == nil)
  }
}
