// Headers of every layer that a capture can hold, and addresses as RFC 5952 writes them.
import Support
import Testing

@testable import tap_capture

@Suite struct PacketTests {
  /// An IPv4 packet with 4 bytes of payload, and what stands before it.
  private static let packet: [UInt8] = [
    0x45, 0, 0, 24, 0, 1, 0, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 2, 0xde, 0xad, 0xbe, 0xef,
  ]

  @Test(arguments: [
    (LinkLayer.raw, [UInt8]()),
    (.loopback, [2, 0, 0, 0]),
    (.ethernet, [UInt8](repeating: 0, count: 12) + [0x08, 0x00]),
    (.ethernet, [UInt8](repeating: 0, count: 12) + [0x81, 0x00, 0, 7, 0x08, 0x00]),
    (.ethernet, [UInt8](repeating: 0, count: 12) + [0x88, 0xa8, 0, 7, 0x81, 0x00, 0, 8, 0x08, 0x00]),
    (.linuxCooked1, [UInt8](repeating: 0, count: 14) + [0x08, 0x00]),
    (.linuxCooked2, [0x08, 0x00] + [UInt8](repeating: 0, count: 18)),
  ])
  func linkLayers(layer: LinkLayer, header: [UInt8]) throws {
    // Ethernet pads short frames: what is behind the packet is no payload.
    let frame = header + PacketTests.packet + [0, 0, 0]
    try frame.withUnsafeBytes {
      let bytes = try #require(layer.packet(in: PacketBytes(bytes: $0)))
      let ip = try #require(IPPacket(bytes, wireBytes: bytes.count))
      #expect(ip.source.text == "127.0.0.1")
      #expect(ip.destination.text == "127.0.0.2")
      #expect(Array(ip.payload.bytes) == [0xde, 0xad, 0xbe, 0xef])
      #expect(ip.payloadLength == 4)
    }
  }

  @Test func everyPrefixOfAPacketIsSafe() {
    for length in 0..<PacketTests.packet.count {
      PacketTests.packet.prefix(length).withUnsafeBytes {
        let ip = IPPacket(PacketBytes(bytes: $0), wireBytes: $0.count)
        #expect(length < 20 ? ip == nil : ip?.payload.count == length - 20)
      }
    }
  }

  @Test(
    arguments: [
      (0x2001_0db8_0000_0000, 0x0000_0000_0000_0001, "2001:db8::1"),
      (0, 1, "::1"),
      (0, 0, "::"),
      (0x2001_0db8_0000_0001, 0x0001_0001_0001_0001, "2001:db8:0:1:1:1:1:1"),
      (0x2001_0000_0000_0001, 0x0000_0000_0000_0001, "2001:0:0:1::1"),
      (0x0001_0002_0003_0004, 0x0005_0006_0000_0000, "1:2:3:4:5:6::"),
    ] as [(UInt64, UInt64, String)])
  func addressesAreShortened(high: UInt64, low: UInt64, text: String) {
    #expect(IPAddress(high: high, low: low).text == text)
  }

  @Test func fragmentsInAnyOrderMakeThePacket() throws {
    let payload = (0..<40).map { UInt8($0) }
    func fragment(_ range: Range<Int>, more: Bool) -> [UInt8] {
      let field = UInt16(range.lowerBound / 8) | (more ? 0x2000 : 0)
      return [0x45, 0, 0, UInt8(20 + range.count), 0, 9, UInt8(field >> 8), UInt8(field & 0xff), 64, 6, 0, 0]
        + [10, 0, 0, 1, 10, 0, 0, 2] + payload[range]
    }
    var assembler = FragmentAssembler()
    let parts = [fragment(24..<40, more: false), fragment(0..<16, more: true), fragment(8..<24, more: true)]
    for (index, part) in parts.enumerated() {
      let whole = try part.withUnsafeBytes {
        let ip = try #require(IPPacket(PacketBytes(bytes: $0), wireBytes: $0.count))
        return assembler.add(ip, try #require(ip.fragment), time: 0)
      }
      #expect(whole?.payload == (index == 2 ? payload : nil))
    }
    #expect(assembler.pendingPackets == 0)
  }

  /// Random headers behind a right beginning: lengths, offsets and header chains that lie.
  @Test(arguments: 0..<300) func headersThatLieAreSafe(seed: Int) {
    var random = SeededGenerator(seed: UInt64(seed))
    var assembler = FragmentAssembler()
    for time in 0..<200 as Range<UInt64> {
      var bytes = (0..<Int.random(in: 0...120, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      if !bytes.isEmpty { bytes[0] = [0x45, 0x4f, 0x60].randomElement(using: &random) ?? 0 }
      if bytes.count > 6 { bytes[6] = [0, 43, 44, 51, 60, 6, 0x20].randomElement(using: &random) ?? 0 }
      bytes.withUnsafeBytes {
        guard let ip = IPPacket(PacketBytes(bytes: $0), wireBytes: $0.count) else { return }
        #expect(ip.payload.count <= $0.count && ip.payload.count <= ip.payloadLength, "seed \(seed)")
        if let fragment = ip.fragment { _ = assembler.add(ip, fragment, time: time) }
        if let segment = TCPSegment(ip.payload, length: ip.payloadLength) {
          #expect(segment.payload.count <= segment.payloadLength, "seed \(seed)")
        }
      }
    }
  }
}
