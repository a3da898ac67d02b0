// Passwords stay inside also where options stand around them, and where the server says them: CONFIG GET, MONITOR.
import Support
import TapWire
import Testing

@testable import RESP

@Suite struct RepeatedSecretTests {
  private static let password = "hunter2"

  /// Decodes what follows an ordinary exchange, and looks for the password in every byte that came out.
  private func decode(_ events: Event...) throws -> [String] {
    let decoded = try Decoded(Conversation([.command("PING"), .server("+PONG\r\n")] + events))
    let password = Array(RepeatedSecretTests.password.utf8)
    #expect(!decoded.output.indices.contains { decoded.output[$0...].starts(with: password) }, "\(decoded.lines)")
    return Array(decoded.lines.dropFirst())
  }

  @Test(arguments: [
    ("AUTH hunter2 a b", "AUTH [(redacted), (redacted), (redacted)]"),
    ("HELLO 3 AUTH bob hunter2 SETNAME x", "HELLO [3, AUTH, bob, (redacted), SETNAME, x]"),
    ("HELLO 3 SETNAME AUTH AUTH bob hunter2", "HELLO [3, SETNAME, AUTH, AUTH, bob, (redacted)]"),
    ("HELLO 3 AUTH hunter2", "HELLO [3, AUTH, (redacted)]"),
    (
      "CONFIG SET maxmemory 1 masterauth hunter2 requirepass hunter2",
      "CONFIG [SET, maxmemory, 1, masterauth, (redacted), requirepass, (redacted)]"
    ),
    ("ACL SETUSER bob on >hunter2 ~* +@all", "ACL [SETUSER, bob, on, (redacted), ~*, +@all]"),
    ("MIGRATE h 1 k 0 5 AUTH hunter2", "MIGRATE [h, 1, k, 0, 5, AUTH, (redacted)]"),
    ("MIGRATE h 1 k 0 5 AUTH2 bob hunter2 KEYS a", "MIGRATE [h, 1, k, 0, 5, AUTH2, bob, (redacted), KEYS, a]"),
    ("SENTINEL SET m auth-pass hunter2", "SENTINEL [SET, m, auth-pass, (redacted)]"),
  ])
  func commandsWithOptions(_ words: String, _ shown: String) throws {
    #expect(try decode(.command(words), .server("+OK\r\n")) == ["\(shown) → simple_string OK"])
    #expect(try decode(.client(words + "\r\n"), .server("+OK\r\n")) == ["\(shown) → simple_string OK"])
    #expect(
      try decode(.command("MULTI"), .server("+OK\r\n"), .command(words), .server("+QUEUED\r\n"))
        == ["MULTI [] → simple_string OK", "\(shown) → simple_string QUEUED (queued)"])
  }

  /// The user's name was forgotten: nobody knows which of the words is the password.
  @Test(arguments: ["HELLO 3 AUTH hunter2 SETNAME x", "HELLO 3 AUTH a hunter2 x"])
  func helloThatIsNotWhole(_ words: String) throws {
    let lines = try decode(.command(words), .server("-ERR Syntax error in HELLO\r\n"))
    #expect(lines.count == 1 && lines[0].hasPrefix("HELLO [3, AUTH, (redacted), (redacted)"), "\(lines)")
  }

  @Test func hashesAndNewPasswords() throws {
    let hash = String(repeating: "5e884898", count: 8)
    let list = Array("*1\r\n".utf8) + bulk("user ada on #\(hash) ~* +@all")
    let user =
      Array("*4\r\n".utf8) + bulk("passwords") + Array("*1\r\n".utf8) + bulk(hash) + bulk("commands") + bulk("+@all")
    #expect(
      try decode(.command("ACL LIST"), .server(list)) == ["ACL [LIST] → array [user ada on (redacted) ~* +@all]"])
    #expect(
      try decode(.command("ACL GETUSER ada"), .server(user))
        == ["ACL [GETUSER, ada] → array [passwords, [(redacted)], commands, +@all]"])
    #expect(
      try decode(.command("ACL GENPASS"), .server(bulk(hash))) == ["ACL [GENPASS] → bulk_string (redacted)"])
    #expect(try decode(.command("GET a"), .server(bulk(hash))) == ["GET [a] → bulk_string \(hash)"])
  }

  @Test func whatConfigGetAnswers() throws {
    let array = Array("*4\r\n".utf8) + bulk("port") + bulk("1") + bulk("requirepass") + bulk("hunter2")
    let map = Array("%1\r\n".utf8) + bulk("masterauth") + bulk("hunter2")
    #expect(
      try decode(.command("CONFIG GET *"), .server(array))
        == ["CONFIG [GET, *] → array [port, 1, requirepass, (redacted)]"])
    #expect(
      try decode(.command("CONFIG GET *"), .server(map)) == ["CONFIG [GET, *] → map {masterauth: (redacted)}"])
    #expect(
      try decode(
        .command("CONFIG GET *"), .server("+QUEUED\r\n"), .command("EXEC"), .server(Array("*1\r\n".utf8) + array)
      ).last == "EXEC [] → array [[port, 1, requirepass, (redacted)]]")
    // The command may be what was lost.
    #expect(
      try decode(.clientGap(20), .command("MGET a"), .server(array)).last
        == "MGET [a] → array [port, 1, requirepass, (redacted)] (unvouched)")
    #expect(
      try decode(.command("CONFIG GET requirepass"), .server(Array("*2\r\n".utf8) + bulk("requirepass") + bulk("")))
        == ["CONFIG [GET, requirepass] → array [requirepass, ]"])
    // Other commands may hold such words: they are data there.
    #expect(
      try Decoded(
        .command("LRANGE l 0 -1"), .server(Array("*2\r\n".utf8) + bulk("requirepass") + bulk("x"))
      ).lines == ["LRANGE [l, 0, -1] → array [requirepass, x]"])
  }

  @Test func linesOfMonitor() throws {
    let stamp = "1795372340.571882 [0 127.0.0.1:59464]"
    #expect(
      try decode(
        .command("MONITOR"), .server("+OK\r\n"), .server("+\(stamp) \"auth\" \"hunter2\"\r\n"),
        .server("+\(stamp) \"MIGRATE\" \"h\" \"\\x00\\\"\" \"k\" \"0\" \"5\" \"AUTH\" \"hunter2\" \"KEYS\" \"a\"\r\n"),
        .server("+\(stamp) \"GET\" \"a\"\r\n")) == [
          "MONITOR [] → simple_string OK", "→ simple_string \(stamp) \"auth\" \"(redacted)\" (monitor)",
          "→ simple_string \(stamp) \"MIGRATE\" \"h\" \"\\x00\\\"\" \"k\" \"0\" \"5\" \"AUTH\" \"(redacted)\" \"KEYS\" \"a\" "
            + "(monitor)",
          "→ simple_string \(stamp) \"GET\" \"a\" (monitor)",
        ])
  }
}
