// The blocks of a pcapng file beside libpcap: the same whatever the pieces in which the file comes, and quiet about nonsense.
import Support
import Testing

@testable import tap_capture

/// A pcapng file in the making, little endian.
private struct File {
  var bytes: [UInt8] = []

  static func word(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32($0 * 8)) } }

  static func option(_ code: UInt16, _ value: [UInt8]) -> [UInt8] {
    word(UInt32(code) | UInt32(value.count) << 16) + value + [UInt8](repeating: 0, count: (4 - value.count % 4) % 4)
  }

  mutating func block(_ type: UInt32, _ body: [UInt8]) {
    let length = File.word(UInt32(body.count + 12))
    bytes += File.word(type) + length + body + length
  }

  mutating func section() {
    block(0x0a0d_0d0a, File.word(0x1a2b_3c4d) + File.word(1) + [UInt8](repeating: 0xff, count: 8))
  }

  mutating func packet(_ data: [UInt8], _ options: [UInt8]) {
    let padding = [UInt8](repeating: 0, count: (4 - data.count % 4) % 4)
    let lengths = File.word(UInt32(data.count)) + File.word(UInt32(data.count))
    block(6, File.word(0) + File.word(0) + File.word(0) + lengths + data + padding + options)
  }
}

@Suite struct PacketBlocksTests {
  private static let sample: File = {
    var file = File()
    file.section()
    file.block(1, File.word(1) + File.word(65535))
    file.block(0x8000_0001, File.word(812) + File.option(2, Array("redis-cli".utf8)) + File.word(0))
    file.packet([1, 2, 3], File.option(1, Array("PID: 7".utf8)) + File.option(2, File.word(2)) + File.word(0))
    file.packet([1], [])
    file.block(3, File.word(1) + [9, 0, 0, 0])
    file.packet([], File.option(0x8001, File.word(0)) + File.option(2, File.word(1)))
    return file
  }()

  @Test(arguments: 1...40) func piecesDoNotMatter(length: Int) {
    var blocks = PacketBlocks()
    let bytes = PacketBlocksTests.sample.bytes
    for start in stride(from: 0, to: bytes.count, by: length) {
      bytes[start..<min(start + length, bytes.count)].withUnsafeBytes { blocks.pass($0) }
    }
    #expect(blocks.format == .pcapng)
    let packets = (0..<4).map { _ in blocks.takePacket() }
    #expect(
      packets.map { String(decoding: $0.comment, as: UTF8.self) } == ["PID: 7", "", "", "PID: 812\nComm: redis-cli"])
    #expect(packets.map(\.isInbound) == [false, nil, nil, true])
    #expect(blocks.nextOffset == UInt64(bytes.count))
  }

  @Test(arguments: 0..<200) func nonsenseIsPassedOver(seed: Int) {
    var random = SeededGenerator(seed: UInt64(seed))
    var bytes = PacketBlocksTests.sample.bytes
    for _ in 0..<Int.random(in: 1...6, using: &random) {
      bytes[Int.random(in: 0..<bytes.count, using: &random)] =
        [0, 0xff, .random(in: 0...255, using: &random)]
        .randomElement(using: &random) ?? 0
    }
    var blocks = PacketBlocks()
    bytes.withUnsafeBytes { blocks.pass($0) }
    for _ in 0..<5 { _ = PacketProcess(comment: blocks.takePacket().comment) }
    #expect(blocks.nextOffset <= UInt64(bytes.count) + UInt64(UInt32.max), "seed \(seed)")
  }
}
