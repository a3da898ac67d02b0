// Plain commands and replies in a row take a short way: it must make what the long one makes, and leave it what is not its own.
import Support
import TapWire
import Testing

@testable import RESP

@Suite struct PlainTests {
  /// Commands and replies of the kinds that the short way takes, and of those around them.
  private static func pair(_ generator: inout SeededGenerator) -> (command: [UInt8], reply: [UInt8]) {
    let lengths = [
      0, 1, 7, 8, 9, 15, 16, 17, 23, 24, 31, 32, 33, 63, 64, 65, 99, 100, 255, 256, 999, 1000, 16_384, 20_000,
    ]
    let isText = Bool.random(using: &generator)
    let value = (0..<(lengths.randomElement(using: &generator) ?? 0)).map { _ in
      UInt8.random(in: isText ? 0x20...0x7e : 0...0xff, using: &generator)
    }
    let bulk = Array("$\(value.count)\r\n".utf8) + value + [0x0d, 0x0a]
    let key = Array("key:\(Int.random(in: 0...99_999, using: &generator))".utf8)
    return switch Int.random(in: 0..<9, using: &generator) {
    case 0, 1: (encode([Array("SET".utf8), key, value]), Array("+OK\r\n".utf8))
    case 2, 3: (encode([Array("get".utf8), key]), bulk)
    case 4: (encode([Array("GET".utf8), key]), Array("$-1\r\n".utf8))
    case 5: (encode([Array("INCR".utf8), key]), Array(":\(Int.random(in: -9...99_999, using: &generator))\r\n".utf8))
    case 6: (encode([Array("HGETALL".utf8), key]), Array("*2\r\n".utf8) + bulk + bulk)
    case 7: (encode([Array("LPUSH".utf8), key]), Array("-ERR wrong number of arguments\r\n".utf8))
    default: (encode("PING"), Array("+PONG\r\n".utf8))
    }
  }

  /// The exchanges without their times, which depend on the cut.
  private static func lines(_ conversation: Conversation) throws -> [String] { try Decoded(conversation).lines }

  @Test(arguments: 0..<20) func sameAsTheLongWay(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var events: [Event] = []
    for _ in 0..<20 {
      let pairs = (0..<Int.random(in: 1...16, using: &generator)).map { _ in PlainTests.pair(&generator) }
      events.append(.client(pairs.flatMap(\.command)))
      events.append(.server(pairs.flatMap(\.reply)))
    }
    var long = Conversation(events)
    // Below this its times have shorter heads than the short way writes.
    long.startNanoseconds = 1_000_000
    let expected = try PlainTests.lines(long)
    #expect(try PlainTests.lines(Conversation(events)) == expected, "seed \(seed)")
    var cut = Conversation(events)
    var cuts = generator
    cut.split = { count in
      let first = Int.random(in: 0...count, using: &cuts)
      return [first, count - first]
    }
    #expect(try PlainTests.lines(cut) == expected, "seed \(seed), cut in two")
  }

  @Test func zerosWhereACommandIsExpected() throws {
    let decoded = try Decoded(
      .command("SET a 1"), .server("+OK\r\n"), .command("SET a 2"), .server("+OK\r\n"),
      .client([UInt8](repeating: 0, count: 64)))
    #expect(decoded.exchanges.count <= 3)
    #expect(decoded.lines.prefix(2) == ["SET [a, 1] → simple_string OK", "SET [a, 2] → simple_string OK"])
  }

  /// Every pair of bytes where one or two digits are expected, before what ends a line and what does not.
  @Test func onlyDigitsAreNumbers() {
    let ends: [[UInt8]] = [
      [0x0d, 0x0a], [0x0d, 0x0d], [0x0d, 0x8a], [0xf2, 0xf5], [0x0a, 0x0d], [0x0d, 0x0a, 0x0a],
    ]
    var wrong: [[UInt8]] = []
    for pair in 0...0xffff {
      for end in ends {
        let text = [UInt8(pair >> 8), UInt8(pair & 0xff)] + end
        var line = NumberLine()
        let (value, position) = text.withUnsafeBytes { bytes in
          var position = 0
          return (bytes.baseAddress.flatMap { shortNumber($0, &position, bytes.count) }, position)
        }
        let (expected, expectedPosition) = text.withUnsafeBytes { bytes in
          var position = 0
          return ((try? line.read(bytes, &position)) ?? nil, position)
        }
        // The sign is left to the state machine.
        let isNumber = expected.map { $0 >= 0 && text[0] != UInt8(ascii: "-") } ?? false
        if isNumber ? (value.map(Int64.init) != expected || position != expectedPosition) : value != nil {
          wrong.append(text)
        }
      }
    }
    #expect(wrong.isEmpty)
  }
}
