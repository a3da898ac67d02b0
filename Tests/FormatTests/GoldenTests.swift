// Whole outputs, compared with files that a person can read. Record them anew with TAP_RECORD_GOLDEN=1 swift test.
import Format
import Glibc
import Support
import TapWire
import Testing

@Suite struct GoldenTests {
  /// One exchange of each kind that tap-resp makes, on both sides, and some of a decoder that nobody here knows.
  static let stream: [UInt8] = {
    var stream = Stream(wallClockOffset: 1_785_269_089_000_000_000)
    stream.process(
      1,
      [
        "pid": 4711, "start_time": 88, "comm": "redis-cli", "exe": "/usr/bin/redis-cli",
        "command_line": ["redis-cli", "-a", "(redacted)"], "uid": 1000, "user": "ada",
        "parent": ["pid": 1, "comm": "bash"],
      ])
    stream.process(2, ["pid": 815, "comm": "redis-server", "exe": "/usr/bin/redis-server", "user": "redis"])
    stream.flow(1, process: 1)
    stream.flow(2, process: 2, local: ["127.0.0.1", 6379], remote: ["127.0.0.1", 50000], role: "server")
    stream.flow(3, process: 1, local: "", remote: "/run/redis.sock", role: "unknown")
    stream.redis("SET", ["testkey", "hello from cli"], type: "simple_string", value: "OK")
    stream.exchange(
      flow: 2, request: ["command": "SET", "args": ["testkey", "hello from cli"]],
      response: ["response_type": "simple_string", "response_value": "OK"], firstByte: 1_090_000)
    stream.redis("GET", ["none"], type: "null", value: nil)
    stream.redis("GET", ["bytes"], type: "bulk_string", value: .bytes([0, 0xff, 0x1b]))
    stream.redis("INCR", ["testkey"], type: "error", value: "ERR value is not an integer or out of range")
    stream.redis("HGETALL", ["h"], type: "map", value: ["name": "John Doe", "age": 7])
    stream.redis("SMEMBERS", ["s"], type: "set", value: .tag(WireTag.set, ["a", 1, 2.5, true]))
    stream.redis("EXEC", [], type: "array", value: [.tag(WireTag.simpleString, "OK"), .tag(WireTag.error, "ERR x")])
    stream.redis("GET", ["big"], type: "bulk_string", value: .tag(WireTag.cut, [9_000_000, "abc"]), flags: ["cut"])
    stream.exchange(
      flow: 1, end: nil, request: nil,
      response: ["response_type": "push", "response_value": .tag(WireTag.push, ["message", "news", "hi"])])
    stream.exchange(
      flow: 3, end: nil, request: ["command": "BLPOP", "args": ["q", "0"]], response: nil,
      flags: ["unanswered", "unvouched"])
    stream.redis("ECHO", ["\u{1b}[2J\u{202e}\\"], type: "verbatim_string", value: "line one\nline two")
    stream.exchange(
      flow: 1, start: 5_000_000_000, end: 7_000_000_001, protocol: "gopher", request: ["selector": "/", "view": 1],
      response: ["view": 2, "menu": [["kind": "1", "name": "up"]]])
    return stream.ended
  }()

  @Test(arguments: [
    ("exchanges.jsonl", Style.json()), ("exchanges.txt", .pretty(isColored: false)),
    ("exchanges.color.txt", .pretty(isColored: true)),
  ])
  func output(_ name: String, _ style: Style) throws {
    let formatted = Formatted(Self.stream, style: style)
    #expect(formatted.messages == [])
    let file = String(#filePath.dropLast("GoldenTests.swift".count)) + "Golden/" + name
    if getenv("TAP_RECORD_GOLDEN") != nil {
      write(formatted.run.output, to: file)
    } else {
      #expect(formatted.text == String(decoding: read(file), as: UTF8.self))
    }
  }

  private func read(_ path: String) -> [UInt8] {
    guard let file = fopen(path, "r") else { return [] }
    defer { fclose(file) }
    return [UInt8](unsafeUninitializedCapacity: 1 << 16) { buffer, count in
      count = fread(buffer.baseAddress, 1, 1 << 16, file)
    }
  }

  private func write(_ bytes: [UInt8], to path: String) {
    guard let file = fopen(path, "w") else {
      Issue.record("\(path): \(errorText(errno))")
      return
    }
    defer { fclose(file) }
    #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
  }
}
