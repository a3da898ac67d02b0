// The lines for people.
import Support
import TapWire
import Testing

@Suite struct PrettyTests {
  private func line(isColored: Bool = false, _ build: (inout Stream) -> Void) -> String {
    var stream = Stream()
    build(&stream)
    return Formatted(stream.ended, style: .pretty(isColored: isColored)).lines.first ?? ""
  }

  @Test func bothSidesOfTheSample() {
    let client = line { stream in
      stream.process(1, ["pid": 7, "comm": "redis-cli", "exe": "/usr/bin/redis-cli"])
      stream.flow(1, process: 1)
      stream.redis("SET", ["testkey", "hello from cli"], type: "simple_string", value: "OK")
    }
    #expect(client == "■ redis-cli → SET testkey hello from cli OK  100.129µs")
    let server = line { stream in
      stream.process(1, ["comm": "redis-server"])
      stream.flow(1, process: 1, role: "server")
      stream.redis("SET", ["testkey", "hello from cli"], type: "simple_string", value: "OK")
    }
    #expect(server == "■ redis-server ← SET testkey hello from cli OK  100.129µs")
  }

  @Test func theNameFallsBack() {
    let descriptions: [(Item, String)] = [
      (["comm": "a", "exe": "/bin/b", "pid": 3], "a"), (["exe": "/usr/bin/b", "pid": 3], "b"), (["exe": "b"], "b"),
      (["comm": "", "pid": 3], "3"), (["user": "root"], "?"), ([:], "?"), (["comm": 5, "exe": [], "pid": 3], "3"),
      (["comm": "a\u{1b}[2Jb"], "a\\x1b[2Jb"), (["comm": .bytes([0x61, 0xff])], "a\\xff"),
    ]
    for (description, name) in descriptions {
      let line = line { stream in
        stream.process(1, description)
        stream.flow(1, process: 1)
        stream.redis("PING", [], type: "simple_string", value: "PONG")
      }
      #expect(line == "■ \(name) → PING PONG  100.129µs")
    }
  }

  static let replies: [(String, Item, String)] = [
    ("null", nil, "(nil)"), ("integer", "3", "3"), ("error", "ERR no such key", "ERR no such key"),
    ("array", ["a", "b", ["k": "v", "n": 1]], "[a, b, {k: v, n: 1}]"), ("array", [], "[]"), ("map", [:], "{}"),
    ("set", .tag(WireTag.set, ["a", nil, true]), "[a, (nil), true]"),
    ("array", [.tag(WireTag.error, "ERR x"), 1.5, .tag(WireTag.simpleString, "OK")], "[ERR x, 1.5, OK]"),
    ("array", [.tag(WireTag.verbatim, ["txt", "hi"]), .tag(3, .bytes([9]))], "[hi, -10]"),
    ("bulk_string", .tag(WireTag.cut, [1000, "begin"]), "begin…(1000 bytes)"),
    ("array", .tag(WireTag.cut, [1000, ["a", "b"]]), "[a, b]…(1000 elements)"),
    ("bulk_string", .tag(WireTag.attributes, [["ttl": 1], "v"]), "({ttl: 1}) v"),
    ("bulk_string", "", ""), ("bulk_string", "two  words", "two  words"),
  ]

  @Test(arguments: replies) func reply(_ type: String, _ value: Item, _ expected: String) {
    #expect(line { $0.redis("GET", ["k"], type: type, value: value) } == "■ ? ? GET k \(expected)  100.129µs")
  }

  @Test func anotherDecodersExchange() {
    let line = line {
      $0.exchange(
        protocol: "smtp", request: ["verb": "RCPT", "to": ["a", ["b", "c"]], "size": 10],
        response: ["code": 250, "code_type": "number", "text": "ok"])
    }
    #expect(line == "■ ? ? RCPT a [b, c] 10 250 ok  100.129µs")
  }

  @Test func whatOnlyTellsHowToReadAValueIsNotShown() {
    let line = line {
      $0.exchange(
        request: ["command": "INFO"],
        response: ["response_type": "verbatim_string", "response_format": "txt", "response_value": "all is well"])
    }
    #expect(line == "■ ? ? INFO all is well  100.129µs")
  }

  @Test func withoutRequestOrResponse() {
    let push = line {
      $0.exchange(
        end: nil, request: nil, response: ["response_type": "push", "response_value": ["message", "news", "hi"]])
    }
    #expect(push == "■ ? ? [message, news, hi]")
    #expect(
      line { $0.exchange(end: nil, request: ["command": "GET"], response: nil, flags: ["unanswered", "cut"]) }
        == "■ ? ? GET (no reply) [unanswered, cut]")
  }

  @Test func colorsOnlyWhereAskedFor() {
    let build = { (stream: inout Stream) in
      stream.redis("GET", ["k"], type: "error", value: "ERR no", flags: ["unvouched"])
    }
    #expect(line(build) == "■ ? ? GET k ERR no  100.129µs [unvouched]")
    #expect(
      line(isColored: true, build)
        == "■ ? \u{1b}[36m?\u{1b}[0m GET k\u{1b}[31m ERR no\u{1b}[0m  \u{1b}[2m100.129µs\u{1b}[0m \u{1b}[33m[unvouched]\u{1b}[0m"
    )
  }

  // MARK: Bounds

  @Test func aLongValueIsCutAndMeasured() {
    let line = line { $0.redis("SET", ["k", .text(String(repeating: "x", count: 100_000))], type: "a", value: "OK") }
    #expect(line == "■ ? ? SET k " + String(repeating: "x", count: 249) + "…(100000 bytes) OK  100.129µs")
  }

  @Test func valuesWithoutRoomAreCounted() {
    let line = line { stream in
      stream.redis(
        "MSET", (0..<300).map { .text("\($0)") }, type: "array",
        value: .array(Array(repeating: ["a": [nil]], count: 99)))
    }
    // "MSET" and the numbers to 86, each with a space before it, are the first to reach 256 characters.
    #expect(line.hasPrefix("■ ? ? MSET 0 1 2 ") && line.contains(" 85 86 …(+213 values) [{a: [(nil)]}, "))
    #expect(line.hasSuffix(" values)  100.129µs"))
    #expect(line.count < 640)
  }

  @Test func aValueThatJustFitsIsWhole() {
    for (length, cut) in [(255, ""), (256, "…(256 bytes)")] {
      let line = line {
        $0.exchange(end: nil, request: ["a": .text(String(repeating: "x", count: length))], response: nil)
      }
      #expect(line == "■ ? ? " + String(repeating: "x", count: 255) + cut + " (no reply)")
    }
  }

  @Test func everyLineIsBounded() {
    let hostile = String(repeating: "\u{202e}", count: 10_000)
    let line = line(isColored: true) { stream in
      stream.process(1, ["comm": .text(hostile)])
      stream.flow(1, process: 1)
      stream.redis(
        hostile, [.tag(2, .bytes(Array(repeating: 0xff, count: 1024)))], type: hostile, value: .text(hostile),
        flags: [.text(hostile)])
    }
    #expect(line.utf8.count < 1200)
  }
}
