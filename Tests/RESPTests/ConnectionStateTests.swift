// The state of a connection: told once the server has agreed, and unknown where something may have been missed.
import Support
import TapWire
import Testing

@testable import RESP

@Suite struct ConnectionStateTests {
  /// Exchanges, each with the state it was made in behind it.
  private static func lines(_ events: [Event], isPreexisting: Bool = false) throws -> [String] {
    var conversation = Conversation(events)
    conversation.isPreexisting = isPreexisting
    return try Decoded(conversation).exchanges.map { "\($0.request ?? "-") \($0.state)" }
  }

  @Test func databases() throws {
    #expect(
      try Self.lines([
        .command("GET a"), .server("$-1\r\n"), .command("SELECT 3"), .server("+OK\r\n"), .command("GET a"),
        .server("$-1\r\n"), .command("SELECT 99"), .server("-ERR DB index is out of range\r\n"),
        .command("SWAPDB 0 3"), .server("+OK\r\n"), .command("GET a"), .server("$-1\r\n"), .command("RESET"),
        .server("+RESET\r\n"), .command("GET a"), .server("$-1\r\n"),
      ]) == [
        "GET [a] {database: 0}", "SELECT [3] {database: 0}", "GET [a] {database: 3}", "SELECT [99] {database: 3}",
        "SWAPDB [0, 3] {database: 3}", "GET [a] {database: 3}", "RESET [] {database: 3}", "GET [a] {database: 0}",
      ])
  }

  /// In one piece: each command is executed behind the one before it.
  @Test func pipelined() throws {
    #expect(
      try Self.lines([
        .client(encode("SELECT", "1") + encode("GET", "a") + encode("SELECT", "2") + encode("GET", "a")),
        .server("+OK\r\n$-1\r\n+OK\r\n$-1\r\n"),
      ]) == ["SELECT [1] {database: 0}", "GET [a] {database: 1}", "SELECT [2] {database: 1}", "GET [a] {database: 2}"])
  }

  @Test func identities() throws {
    let hello = "%1\r\n$5\r\nproto\r\n:3\r\n"
    #expect(
      try Self.lines([
        .command("HELLO 3 AUTH ada secret SETNAME bob"), .server(hello), .command("CLIENT SETINFO LIB-NAME redis-py"),
        .server("+OK\r\n"), .command("client setinfo lib-ver 5.0.1"), .server("+OK\r\n"), .command("AUTH eve wrong"),
        .server("-WRONGPASS invalid\r\n"), .command("AUTH other"), .server("+OK\r\n"), .command("CLIENT SETNAME x"),
        .server("+OK\r\n"), .command("PING"), .server("+PONG\r\n"), .command("RESET"), .server("+RESET\r\n"),
        .command("PING"), .server("+PONG\r\n"),
      ]).suffix(7) == [
        "CLIENT [setinfo, lib-ver, 5.0.1] {database: 0, client_name: bob, library: redis-py, user: ada}",
        "AUTH [eve, (redacted)] {database: 0, client_name: bob, library: redis-py, library_version: 5.0.1, user: ada}",
        "AUTH [(redacted)] {database: 0, client_name: bob, library: redis-py, library_version: 5.0.1, user: ada}",
        "CLIENT [SETNAME, x] {database: 0, client_name: bob, library: redis-py, library_version: 5.0.1, user: default}",
        "PING [] {database: 0, client_name: x, library: redis-py, library_version: 5.0.1, user: default}",
        "RESET [] {database: 0, client_name: x, library: redis-py, library_version: 5.0.1, user: default}",
        "PING [] {database: 0, library: redis-py, library_version: 5.0.1}",
      ])
  }

  /// Inside of a transaction they act when EXEC does.
  @Test func transactions() throws {
    #expect(
      try Self.lines([
        .command("MULTI"), .server("+OK\r\n"), .command("SELECT 5"), .server("+QUEUED\r\n"), .command("GET a"),
        .server("+QUEUED\r\n"), .command("EXEC"), .server("*2\r\n+OK\r\n$-1\r\n"), .command("MULTI"),
        .server("+OK\r\n"),
        .command("SELECT 6"), .server("+QUEUED\r\n"), .command("DISCARD"), .server("+OK\r\n"), .command("GET a"),
        .server("$-1\r\n"),
      ]) == [
        "MULTI [] {database: 0}", "SELECT [5] {database: 0}", "GET [a] {database: 5}", "EXEC [] {database: 5}",
        "MULTI [] {database: 5}", "SELECT [6] {database: 5}", "DISCARD [] {database: 5}", "GET [a] {database: 5}",
      ])
  }

  /// A connection that was joined in its middle says nothing until a vouched pair does.
  @Test func joinedInTheMiddle() throws {
    let lines = try Self.lines(
      [
        .command("SELECT 1"), .server("+OK\r\n"), .command("GET a"), .server("$-1\r\n"), .silence(milliseconds: 100),
      ] + Event.quietRounds + [
        .command("GET a"), .server("$-1\r\n"), .command("SELECT 2"), .server("+OK\r\n"), .command("GET a"),
        .server("$-1\r\n"),
      ], isPreexisting: true)
    #expect(lines.prefix(2) == ["SELECT [1] {}", "GET [a] {}"])
    #expect(lines.suffix(3) == ["GET [a] {}", "SELECT [2] {}", "GET [a] {database: 2}"])
  }

  /// A command may be lost that selected another database, and one that was not answered may have.
  @Test func losses() throws {
    #expect(
      try Self.lines([
        .command("SELECT 1"), .server("+OK\r\n"), .command("GET a"), .server("$-1\r\n"), .clientGap(30),
        .command("GET b"), .server("$-1\r\n"),
      ]) == ["SELECT [1] {database: 0}", "GET [a] {database: 1}", "GET [b] {}"])
    #expect(
      try Self.lines([
        .command("CLIENT REPLY SKIP"), .command("SELECT 1"), .command("GET a"), .server("$-1\r\n"),
      ]) == ["CLIENT [REPLY, SKIP] {database: 0}", "SELECT [1] {}", "GET [a] {}"])
    #expect(
      try Self.lines([
        .command("SELECT 1"), .serverGap(5), .silence(milliseconds: 100), .command("GET a"), .server("$-1\r\n"),
      ]).last == "GET [a] {}")
  }

  /// The stream of a master says itself which database its commands are for.
  @Test func replication() throws {
    #expect(
      try Self.lines([
        .command("PSYNC a 1"), .server("+CONTINUE\r\n"),
        .server(encode("PING") + encode("SELECT", "4") + encode("SET", "a", "1")), .serverGap(7),
        .server(encode("SET", "b", "1")),
      ]) == ["PSYNC [a, 1] {database: 0}", "PING [] {}", "SELECT [4] {}", "SET [a, 1] {database: 4}", "SET [b, 1] {}"])
  }

  /// A name may be as long as a bulk string: it would be kept and repeated.
  @Test func longNames() throws {
    let name = String(repeating: "n", count: 100_000)
    let line = try Self.lines([
      .client(encode("CLIENT", "SETNAME", name)), .server("+OK\r\n"), .command("PING"), .server("+PONG\r\n"),
    ]).last
    #expect(
      line?.hasPrefix("PING [] {database: 0, client_name: cut[100000, nnn") == true && line?.utf8.count ?? 0 < 400)
  }
}
