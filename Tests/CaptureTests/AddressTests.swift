// Addresses as sockets hold them, written as RFC 5952 asks.
import TapWire
import Testing

@testable import tap_capture

@Suite struct AddressTests {
  @Test(arguments: [
    ([127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], false, "127.0.0.1"),
    ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], true, "::1"),
    ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 9], true, "10.0.0.9"),
    ([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1], true, "2001:db8::1:0:0:1"),
  ])
  func addresses(bytes: [UInt8], isIPv6: Bool, text: String) {
    bytes.withUnsafeBytes { #expect(Address(bytes: $0, isIPv6: isIPv6, port: 80) == .ip(text, port: 80)) }
  }

  @Test(arguments: [("", ""), ("/run/x\0", "/run/x"), ("/run/x", "/run/x"), ("\0a\0b", "\0a\0b"), ("\0", "\0")])
  func unixNames(held: String, name: String) {
    Array(held.utf8).withUnsafeBytes { bytes in
      #expect(Address(unixName: bytes.prefix(bytes.count)) == .unix(Array(name.utf8)))
    }
  }
}
