// What is hidden and what is shown: each condition by itself, together, and on connections that are not plain.
import Support
import TapWire
import Testing

@testable import RESP

@Suite struct FilterTests {
  private static func lines(_ events: [Event], isPreexisting: Bool = false, _ set: (inout ExchangeFilter) -> Void)
    throws -> [String]
  {
    var rules = OutputRules()
    set(&rules.filter)
    var conversation = Conversation(events)
    conversation.isPreexisting = isPreexisting
    return try Decoded(conversation, rules: rules).lines
  }

  private static func patterns(_ texts: String...) -> [CommandPattern] { texts.compactMap { CommandPattern($0) } }

  private static let plain: [Event] = [
    .command("GET user:1"), .server("$1\r\n1\r\n"), .command("SET session:1 x"), .server("+OK\r\n"),
    .client(encode("SET", "session:2", "x") + encode("LPUSH", "session:3", "x") + encode("MGET", "a", "user:2")),
    .server("+OK\r\n-WRONGTYPE Operation\r\n*2\r\n$-1\r\n$-1\r\n"),
    .command("config set maxmemory 0"), .server("+OK\r\n"), .command("CONFIG GET maxmemory"), .server("*0\r\n"),
  ]

  @Test func commands() throws {
    let sets = try Self.lines(Self.plain) { $0.commands = Self.patterns("set") }
    #expect(sets == ["SET [session:1, x] → simple_string OK", "SET [session:2, x] → simple_string OK"])
    let subcommand = try Self.lines(Self.plain) { $0.commands = Self.patterns("Config  Set") }
    #expect(subcommand == ["CONFIG [set, maxmemory, 0] → simple_string OK"])
    let others = try Self.lines(Self.plain) {
      $0.hiddenCommands = Self.patterns("set", "config")
    }
    #expect(others.count == 3)
    #expect(CommandPattern("") == nil && CommandPattern(" ") == nil && CommandPattern("A B C") == nil)
  }

  @Test func keys() throws {
    #expect(try Self.lines(Self.plain) { $0.keys = [Glob("user:*")] }.map { $0.prefix(4) } == ["GET ", "MGET"])
    #expect(try Self.lines(Self.plain) { $0.keys = [Glob("user:2"), Glob("session:[3-9]")] }.count == 2)
    // What has no key has none that is hidden.
    #expect(try Self.lines(Self.plain) { $0.hiddenKeys = [Glob("*")] }.map { $0.prefix(6) } == ["CONFIG", "CONFIG"])
  }

  @Test func errors() throws {
    #expect(
      try Self.lines(Self.plain) { $0.isErrorsOnly = true }
        == ["LPUSH [session:3, x] → error WRONGTYPE Operation"])
  }

  @Test func classes() throws {
    #expect(
      try Self.lines(Self.plain) { $0.classes = CommandClasses([.read]) }.map { $0.prefix(4) } == ["GET ", "MGET"])
    #expect(try Self.lines(Self.plain) { $0.classes = CommandClasses([.read, .admin]) }.count == 4)
    #expect(try Self.lines(Self.plain) { $0.hiddenClasses = CommandClasses([.write, .admin]) }.count == 2)
  }

  @Test func kindsCompose() throws {
    #expect(
      try Self.lines(Self.plain) {
        $0.classes = CommandClasses([.write])
        $0.keys = [Glob("session:*")]
        $0.hiddenCommands = Self.patterns("LPUSH")
        $0.hiddenKeys = [Glob("*:1")]
      } == ["SET [session:2, x] → simple_string OK"])
  }

  @Test func latencies() throws {
    let events: [Event] = [
      .command("GET fast"), .server("$-1\r\n"), .command("GET slow"), .silence(milliseconds: 20), .server("$-1\r\n"),
      .command("BLPOP wait 0"), .silence(milliseconds: 20), .server("*-1\r\n"),
      .command("MULTI"), .server("+OK\r\n"), .command("INCR n"), .server("+QUEUED\r\n"), .silence(milliseconds: 20),
      .command("EXEC"), .server("*1\r\n:1\r\n"), .command("EVAL x 0"), .silence(milliseconds: 20), .server(":1\r\n"),
      .command("GET never"),
    ]
    let slow = try Self.lines(events) { $0.slowerThanNanoseconds = 10_000_000 }
    #expect(slow == ["GET [slow] → null null", "EVAL [x, 0] → integer 1"])
    // A microsecond lies between events: what takes just as long is not slower.
    #expect(try Self.lines(events) { $0.slowerThanNanoseconds = 1000 }.count == 2)
    #expect(try Self.lines(events) { $0.slowerThanNanoseconds = 999 }.count == 5)
  }

  @Test func databases() throws {
    let events: [Event] = [
      .command("GET a"), .server("$-1\r\n"), .command("SELECT 3"), .server("+OK\r\n"),
      .client(encode("GET", "b") + encode("GET", "c")), .server("$-1\r\n$-1\r\n"), .command("MGET d"),
      .server("*1\r\n$-1\r\n"),
    ]
    #expect(try Self.lines(events) { $0.databases = [3] }.count == 3)
    #expect(try Self.lines(events) { $0.databases = [0] } == ["GET [a] → null null", "SELECT [3] → simple_string OK"])
    // Nobody knows the database of a connection that was joined before it has said it.
    var rules = OutputRules()
    rules.filter.databases = [3]
    var joined = Conversation(events)
    joined.isPreexisting = true
    let decoded = try Decoded(joined, rules: rules)
    #expect(decoded.notices.map(\.text).contains { $0.contains("exchanges are hidden by --db") })
  }

  @Test func queuedCommandsHaveTheirOwn() throws {
    let events: [Event] = [
      .command("MULTI"), .server("+OK\r\n"), .command("SET a 1"), .server("+QUEUED\r\n"), .command("LPUSH a 1"),
      .server("+QUEUED\r\n"), .command("EXEC"), .server("*2\r\n+OK\r\n-WRONGTYPE no\r\n"),
    ]
    #expect(try Self.lines(events) { $0.isErrorsOnly = true } == ["LPUSH [a, 1] → error WRONGTYPE no (queued)"])
    #expect(try Self.lines(events) { $0.keys = [Glob("a")] }.count == 2)
  }

  @Test func pushesArePubsub() throws {
    let events: [Event] = [
      .command("GET a"), .server("$-1\r\n"), .command("SUBSCRIBE c"),
      .server("*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"),
      .server("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n"),
    ]
    #expect(try Self.lines(events) { $0.classes = CommandClasses([.pubsub]) }.count == 2)
    #expect(try Self.lines(events) { $0.hiddenClasses = CommandClasses([.pubsub]) } == ["GET [a] → null null"])
    #expect(try Self.lines(events) { $0.commands = Self.patterns("SUBSCRIBE") }.count == 1)
  }

  /// More than the annotations hold of it is not looked at, and a cut name is no name.
  @Test func whatIsNotWhole() throws {
    let long = String(repeating: "k", count: 3000)
    #expect(try Self.lines([.command("GET \(long)"), .server("$-1\r\n")]) { $0.keys = [Glob("kkk*")] }.count == 1)
    let events: [Event] =
      [.command("PING"), .server("+PONG\r\n"), .client("*2\r\n$3\r\nG"), .clientGap(1)]
      + [.client("T\r\n$1\r\na\r\n"), .server("$-1\r\n")]
    #expect(try Self.lines(events) { $0.commands = Self.patterns("GET") }.isEmpty)
    #expect(try Self.lines(events) { $0.hiddenCommands = Self.patterns("GET") }.count == 2)
  }

  /// A hidden exchange is paired like one that is shown: what is shown is what would be shown without a filter.
  @Test(arguments: [UInt64](1...40)) func pairingIsNotTouched(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var events: [Event] = []
    for number in 0..<60 {
      let value = "v\(number)"
      switch Int.random(in: 0..<6, using: &generator) {
      case 0: events += [.command("SET s\(number) \(value)"), .server("+OK\r\n")]
      case 1: events += [.command("GET g\(number)"), .server(bulk(value))]
      case 2:
        events.append(.client(encode("GET", "g\(number)") + encode("INCR", "i\(number)") + encode("ECHO", value)))
        events.append(.server(bulk(value) + Array(":\(number)\r\n".utf8) + bulk(value)))
      case 3: events += [.client(Array("*2\r\n$3\r\nGET\r\n$9\r\nab".utf8)), .clientGap(4), .client("cde\r\n")]
      case 4: events += [.serverGap(Int.random(in: 1...30, using: &generator)), .silence(milliseconds: 150)]
      default: events += [.command("LRANGE l\(number) 0 -1"), .server("*2\r\n$1\r\na\r\n$1\r\nb\r\n")]
      }
    }
    let all = try Decoded(Conversation(events)).lines
    let shown = try Self.lines(events) { $0.commands = Self.patterns("GET", "LRANGE") }
    #expect(shown == all.filter { $0.hasPrefix("GET ") || $0.hasPrefix("LRANGE ") })
    let hidden = try Self.lines(events) { $0.hiddenCommands = Self.patterns("GET", "LRANGE") }
    #expect(hidden == all.filter { !$0.hasPrefix("GET ") && !$0.hasPrefix("LRANGE ") })
  }

  @Test func gapsAreNotHidden() throws {
    var rules = OutputRules()
    rules.filter.commands = Self.patterns("NOTHING")
    let conversation = Conversation([.command("GET a"), .server("$-1\r\n"), .serverGap(10), .command("GET b")])
    let decoded = try Decoded(conversation, rules: rules)
    #expect(decoded.exchanges.isEmpty)
    #expect(decoded.gaps == 1)
  }

  // MARK: Samples

  @Test func bothEndsOfAConnectionAgree() throws {
    var included = 0
    let sample = try #require(ConnectionSample(oneIn: 10))
    for port in UInt16(20_000)..<30_000 {
      let client = Address.ip("10.0.0.7", port: port)
      let server = Address.ip("10.0.0.1", port: 6379)
      func hash(_ local: Address, _ remote: Address) -> UInt32 {
        FlowFrame(
          id: 1, process: nil, transport: "tcp", local: local, remote: remote, role: .client, isPreexisting: false
        ).connectionHash
      }
      #expect(hash(client, server) == hash(server, client) && hash(client, server) > 0)
      if hash(client, server) % sample.divisor == 0 { included += 1 }
    }
    #expect((850...1150).contains(included))
    #expect(ConnectionSample(oneIn: 0) == nil)
  }
}
