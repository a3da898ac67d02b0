// Passwords never leave the stage for a flow that it claimed: whole, split, cut short or with bytes missing.
import Support
import TapWire
import Testing

@testable import RESP

@Suite struct SecretTests {
  private static let secret = "hunter2-horse-staple"

  private static func holdsSecret(_ output: [UInt8]) -> Bool {
    // A beginning of it would be too much as well.
    let text = String(decoding: output, as: UTF8.self)
    return text.contains(secret.prefix(7)) || text.contains("horse") || text.contains("staple")
  }

  private static let commands: [[String]] = [
    ["AUTH", secret], ["auth", secret], ["AUTH", "ada", secret], ["Auth", "a", secret, "c"],
    ["HELLO", "3", "AUTH", "ada", secret, "SETNAME", "n"], ["hello", "2", "auth", "ada", secret],
    ["CONFIG", "SET", "requirepass", secret], ["config", "set", "maxmemory", "1", "MasterAuth", secret],
    ["ACL", "SETUSER", "ada", "on", ">\(secret)", "~*"], ["ACL", "SETUSER", "ada", "<\(secret)", "#\(secret)"],
    ["MIGRATE", "h", "6379", "", "0", "100", "AUTH", secret, "KEYS", "a"],
    ["MIGRATE", "h", "6379", "k", "0", "100", "AUTH2", "ada", secret],
    ["SENTINEL", "SET", "mymaster", "auth-pass", secret],
    ["EVAL", "return redis.call('CONFIG', 'SET', ARGV[1], ARGV[2])", "0", "requirepass", secret],
    ["EVALSHA", "0123", "1", "key", "AUTH2", "ada", secret], ["FCALL", "f", "0", "MasterAuth", secret],
    ["EVAL", "redis.call('migrate', 'h', 1, '', 0, 9, \"AUTH\", '\(secret)', 'KEYS', KEYS[1])", "0"],
    ["SCRIPT", "LOAD", "redis.call('CONFIG', 'SET', [[RequirePass]], '\(secret)')"],
  ]

  @Test(arguments: commands) func isMasked(_ words: [String]) throws {
    let bytes = encode(words.map { Array($0.utf8) })
    let decoded = try Decoded(.command("PING"), .server("+PONG\r\n"), .client(bytes), .server("+OK\r\n"))
    #expect(!Self.holdsSecret(decoded.output))
    #expect(decoded.lines.last?.contains("(redacted)") == true)
    #expect(decoded.lines.last?.hasSuffix("→ simple_string OK") == true)
  }

  @Test(arguments: commands) func isMaskedInATransaction(_ words: [String]) throws {
    let bytes = encode(words.map { Array($0.utf8) })
    let decoded = try Decoded(
      .command("MULTI"), .server("+OK\r\n"), .client(bytes), .server("+QUEUED\r\n"), .command("EXEC"),
      .server("*1\r\n-ERR Error in ACL SETUSER modifier '<\(Self.secret)': no such password\r\n"))
    #expect(!Self.holdsSecret(decoded.output))
    #expect(decoded.exchanges.count == 3)
  }

  @Test(arguments: commands) func isMaskedWhateverIsMissing(_ words: [String]) throws {
    let bytes = encode(words.map { Array($0.utf8) })
    for position in 0..<bytes.count {
      let (before, behind) = (Array(bytes[..<position]), Array(bytes[position...]))
      let split = try Decoded(
        .command("PING"), .server("+PONG\r\n"), .client(before), .client(behind), .server("+OK\r\n"))
      #expect(!Self.holdsSecret(split.output), "split at \(position)")
      let truncated = try Decoded(.command("PING"), .server("+PONG\r\n"), .client(before))
      #expect(!Self.holdsSecret(truncated.output), "truncated at \(position)")
      for length in [1, 5] where position + length <= bytes.count {
        let lossy = try Decoded(
          .command("PING"), .server("+PONG\r\n"), .client(before), .clientGap(length),
          .client(Array(bytes[(position + length)...])), .server("+OK\r\n"), .command("PING"), .server("+PONG\r\n"))
        #expect(!Self.holdsSecret(lossy.output), "\(length) bytes missing at \(position): \(lossy.lines)")
      }
    }
  }

  /// A script that names no password is shown, whatever it is about.
  @Test func scriptsWithoutPasswords() throws {
    let decoded = try Decoded(
      .client(encode("EVAL", "return redis.call('HGET', KEYS[1], 'auth')", "1", "user", "name")), .server("$1\r\nx\r\n")
    )
    #expect(decoded.lines == ["EVAL [return redis.call('HGET', KEYS[1], 'auth'), 1, user, name] → bulk_string x"])
  }

  /// Of a line of MONITOR that is not whole only the command is shown.
  @Test(arguments: [0, 70_000]) func linesOfMonitor(padding: Int) throws {
    let line = "+1339518083.107412 [0 127.0.0.1:1] \"EVAL\" \"return 1\" \"0\" \"AUTH\" \"\(Self.secret)\""
    let decoded = try Decoded(
      .command("MONITOR"), .server("+OK\r\n"),
      .server("\(line) \"\(String(repeating: "x", count: padding))\"\r\n"))
    let isHidden = !Self.holdsSecret(decoded.output)
    #expect(isHidden)
    let shown = try #require(decoded.lines.last)
    #expect(shown.prefix(100).contains("\"EVAL\" \(padding == 0 ? "\"return 1\"" : "\"(redacted)\"")"))
  }

  /// Every form of the place where a line says whose command it is; Redis before 2.6 says less.
  @Test(arguments: [
    "[0 127.0.0.1:1] ", "[0 [::1]:60866] ", "[3 unix:/run/[redis].sock] ", "[0 lua] ", "(db 3) ", "",
  ]) func linesOfMonitorOfAnyClient(_ client: String) throws {
    let line = "+1339518083.107412 \(client)\"MIGRATE\" \"h\" \"1\" \"k\" \"0\" \"9\" \"AUTH\" \"\(Self.secret)\"\r\n"
    let shown = line.replacing(Self.secret, with: "(redacted)").dropFirst().dropLast()
    let seen = try Decoded(
      .command("MONITOR"), .server("+OK\r\n"), .server(line), .command("PING"), .server("+PONG\r\n"))
    #expect(
      seen.lines.dropFirst() == ["→ simple_string \(shown) (monitor)", "PING [] → simple_string PONG"])
    // MONITOR itself was lost, or came before the capture.
    let lost = try Decoded(
      .command("PING"), .server("+PONG\r\n"), .clientGap(17), .server("+OK\r\n"), .server(line))
    #expect(lost.lines.last == "→ simple_string \(shown) (unvouched, monitor)")
    var joined = Conversation([.command("PING a"), .server("$1\r\na\r\n"), .server(line)])
    joined.isPreexisting = true
    #expect(try Decoded(joined).lines.last == "→ simple_string \(shown) (unvouched, monitor)")
  }

  /// redis-server masks what it logs, servers before 6.0 and some others do not: id, time, duration, words, client, name.
  @Test(arguments: [["AUTH", secret], ["CONFIG", "SET", "requirepass", secret]])
  func commandsInTheSlowLog(_ words: [String]) throws {
    let logged = Array("*2\r\n".utf8) + Self.entry(words) + Self.entry(["GET", "a"])
    let shown = words.map { $0 == Self.secret ? "(redacted)" : $0 }.joined(separator: ", ")
    let expected = "array [[1, 2, 3, [\(shown)], 127.0.0.1:1, ], [1, 2, 3, [GET, a], 127.0.0.1:1, ]]"
    let decoded = try Decoded(
      .command("SLOWLOG GET 10"), .server(logged), .command("MULTI"), .command("SLOWLOG GET"), .command("EXEC"),
      .server("+OK\r\n+QUEUED\r\n*1\r\n"), .server(logged))
    #expect(decoded.lines.first == "SLOWLOG [GET, 10] → \(expected)")
    #expect(!Self.holdsSecret(decoded.output))
    let lost = try Decoded(.command("PING"), .server("+PONG\r\n"), .clientGap(20), .server(logged))
    #expect(lost.lines.last == "→ \(expected) (unvouched, unrequested)")
  }

  private static func entry(_ words: [String]) -> [UInt8] {
    Array("*6\r\n:1\r\n:2\r\n:3\r\n".utf8) + encode(words.map { Array($0.utf8) })
      + Array("$11\r\n127.0.0.1:1\r\n$0\r\n\r\n".utf8)
  }

  @Test func inline() throws {
    let decoded = try Decoded(
      .client("PING\r\n"), .server("+PONG\r\n"), .client("auth '\(Self.secret)'\r\nAUTH ada \(Self.secret)\r\n"),
      .server("+OK\r\n+OK\r\n"))
    #expect(!Self.holdsSecret(decoded.output))
    #expect(
      decoded.lines.suffix(2) == [
        "AUTH [(redacted)] → simple_string OK", "AUTH [ada, (redacted)] → simple_string OK",
      ])
  }

  @Test(arguments: [
    "-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `ada`, `\(secret)`, \r\n",
    "-ERR Error in ACL SETUSER modifier '<\(secret)': The password you are trying to remove does not exist\r\n",
  ]) func errorsThatRepeatArguments(_ error: String) throws {
    let request = encode("ACL", "SETUSER", "ada", "<\(Self.secret)")
    let paired = try Decoded(.command("PING"), .server("+PONG\r\n"), .client(request), .server(error))
    #expect(!Self.holdsSecret(paired.output))
    let lossy = try Decoded(
      .command("PING"), .server("+PONG\r\n"), .clientGap(100), .command("GET a"), .server(error + error))
    #expect(!Self.holdsSecret(lossy.output))
    // An error that repeats what is no secret stays whole.
    let plain = try Decoded(
      .command("FOO bar"), .server("-ERR unknown command 'FOO', with args beginning with: 'bar' \r\n"))
    #expect(plain.lines == ["FOO [bar] → error ERR unknown command 'FOO', with args beginning with: 'bar' "])
  }
}
