// The class of a command, and its keys, by the key specifications of redis-server.
import Support
import TapWire
import Testing

@testable import RESP

@Suite struct AnnotationTests {
  /// How many arguments a command will have is only a claim: nothing takes a step for each.
  @Test(arguments: ["DEL", "MSET", "ZUNIONSTORE", "SUBSCRIBE"]) func announcedArgumentsCostNothing(_ name: String)
    throws
  {
    let clock = ContinuousClock()
    let begin = clock.now
    let decoded = try Decoded(
      .client("*2000000000\r\n$\(name.utf8.count)\r\n\(name)\r\n$1\r\na\r\n"), .server("+OK\r\n"))
    #expect(decoded.exchanges.count == 1 && clock.now - begin < .seconds(1))
    if name == "DEL" {
      #expect(decoded.exchanges.first?.annotations == "{class: write, keys: cut[1999999999, [a]]}")
    }
  }

  private static func annotations(_ commands: String...) throws -> [String] {
    // Twice: what begins like a command before it is looked up, not parsed.
    let events = (commands + commands).flatMap { [Event.command($0), .server("+OK\r\n")] }
    let all = try Decoded(Conversation(events)).exchanges.map(\.annotations)
    #expect(Array(all.prefix(commands.count)) == Array(all.suffix(commands.count)))
    return Array(all.prefix(commands.count))
  }

  @Test func plainCommands() throws {
    #expect(
      try Self.annotations("GET a", "SET a 1", "MGET a b c", "MSET a 1 b 2", "PING", "RENAME a b", "LRANGE l 0 -1") == [
        "{class: read, keys: [a]}", "{class: write, keys: [a]}", "{class: read, keys: [a, b, c]}",
        "{class: write, keys: [a, b]}", "{class: connection}", "{class: write, keys: [a, b]}",
        "{class: read, keys: [l]}",
      ])
  }

  @Test func keysThatArgumentsTellOf() throws {
    #expect(
      try Self.annotations(
        "EVAL script 2 a b c", "EVAL script 0 a", "ZUNIONSTORE d 2 a b WEIGHTS 1 2",
        "XREAD COUNT 1 STREAMS a b 0 0", "MIGRATE h 1 k 0 10", "SORT a BY w GET x STORE d", "BLPOP a b 0",
        "EVAL script many a") == [
          "{class: scripting, keys: [a, b]}", "{class: scripting}", "{class: write, keys: [d, a, b]}",
          "{class: blocking, keys: [a, b]}", "{class: write, keys: [k]}", "{class: write, keys: [a, d]}",
          "{class: blocking, keys: [a, b]}", "{class: scripting}",
        ])
    let migrate = encode("MIGRATE", "h", "1", "", "0", "10", "AUTH", "KEYS", "KEYS", "a", "b")
    #expect(
      try Decoded(.client(migrate), .server("+OK\r\n")).exchanges.map(\.annotations) == [
        "{class: write, keys: [a, b]}"
      ])
  }

  @Test func subcommands() throws {
    #expect(
      try Self.annotations("OBJECT ENCODING a", "object help", "MEMORY USAGE a", "CONFIG GET x", "CLIENT NOSUCH") == [
        "{class: read, keys: [a]}", "{class: other}", "{class: read, keys: [a]}", "{class: admin}", "{class: unknown}",
      ])
  }

  @Test func modules() throws {
    #expect(try Self.annotations("JSON.GET a", "NOSUCHCOMMANDOFREDIS a") == ["{class: unknown}", "{class: unknown}"])
  }

  /// Queued, passed on by a master, or not answered: it is the same command.
  @Test func inEveryMode() throws {
    #expect(
      try Decoded(
        .command("MULTI"), .server("+OK\r\n"), .command("GET a"), .server("+QUEUED\r\n"), .command("EXEC"),
        .server("*1\r\n$-1\r\n"), .command("PSYNC a 1"), .server("+CONTINUE\r\n"), .server(encode("DEL", "x", "y"))
      ).exchanges.map(\.annotations) == [
        "{class: transaction}", "{class: read, keys: [a]}", "{class: transaction}", "{class: admin}",
        "{class: write, keys: [x, y]}",
      ])
    #expect(try Decoded(.command("GET a")).exchanges.map(\.annotations) == ["{class: read, keys: [a]}"])
    #expect(
      try Decoded(.command("CLIENT REPLY OFF"), .command("GET a")).exchanges.last?.annotations
        == "{class: read, keys: [a]}")
  }

  /// Keys are repeated here, so they are bounded.
  @Test func manyAndLongKeys() throws {
    let many = ["MGET"] + (0..<1000).map { "k\($0)" }
    let long = String(repeating: "k", count: 2000)
    let decoded = try Decoded(
      .client(encode(many.map { Array($0.utf8) })), .client(encode("GET", long)), .client(encode("GET", long)))
    let annotations = decoded.exchanges.map(\.annotations)
    #expect(annotations[0].hasPrefix("{class: read, keys: cut[1000, [k0, k1, ") && annotations[0].hasSuffix("k127]]}"))
    #expect(annotations[1].hasPrefix("{class: read, keys: [cut[2000, kkk") && annotations[1].utf8.count < 1100)
    #expect(annotations[2] == annotations[1])
  }

  /// Of a command whose name is not whole nothing is known, and a key that is not whole is marked.
  @Test func gaps() throws {
    #expect(
      try Decoded(.client("*2\r\n$3\r\nG"), .clientGap(2), .client("\r\n$1\r\na\r\n")).exchanges.map(\.annotations)
        == ["{class: unknown}"])
    #expect(
      try Decoded(.client("*2\r\n$3\r\nGET\r\n$4\r\nab"), .clientGap(2), .client("\r\n")).exchanges.map(\.annotations)
        == ["{class: read, keys: [cut[4, ab]]}"])
  }
}
