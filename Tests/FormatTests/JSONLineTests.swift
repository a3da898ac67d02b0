// The members of a JSON line around those that the decoder named.
import Support
import Testing

@Suite struct JSONLineTests {
  private func line(_ build: (inout Stream) -> Void) -> String {
    var stream = Stream(wallClockOffset: 1_700_000_000_000_000_000)
    build(&stream)
    return Formatted(stream.ended).lines.first ?? ""
  }

  @Test func aWholeLine() {
    let line = line { stream in
      stream.process(9, ["pid": 42, "comm": "python3", "exe": "/usr/local/bin/python3.11", "user": "root"])
      stream.flow(1, process: 9)
      stream.exchange(
        request: ["command": "HSET", "args": ["user:1", "name", "John Doe"]],
        response: ["response_type": "integer", "response_value": "1"], firstByte: 1_100_000)
    }
    #expect(
      line == """
        {"time":"2023-11-14T22:13:20.001000000Z","protocol":"redis","direction":"egress","command":"HSET",\
        "args":["user:1","name","John Doe"],"response_type":"integer","response_value":"1","latency":"100.129µs",\
        "latency_ns":100129,"first_byte_ns":100000,"client":"127.0.0.1:50000","server":"127.0.0.1:6379",\
        "process":{"pid":42,"comm":"python3","exe":"/usr/local/bin/python3.11","user":"root"}}
        """)
  }

  @Test func aServersSide() {
    let line = line { stream in
      stream.flow(1, local: ["::1", 6379], remote: ["fe80::1%eth0", 50000], role: "server")
      stream.redis("PING", [], type: "simple_string", value: "PONG")
    }
    #expect(line.contains("\"direction\":\"ingress\""))
    #expect(line.contains("\"client\":\"[fe80::1%eth0]:50000\",\"server\":\"[::1]:6379\",\"process\":null"))
  }

  @Test func anUnknownRoleKeepsTheAddresses() {
    let line = line { stream in
      stream.flow(1, role: "unknown")
      stream.redis("PING", [], type: "simple_string", value: "PONG")
    }
    #expect(line.contains("\"direction\":null"))
    #expect(
      line.contains(
        "\"client\":null,\"server\":null,\"local\":\"127.0.0.1:50000\",\"remote\":\"127.0.0.1:6379\",\"process\":null"))
  }

  @Test func unixSockets() {
    let line = line { stream in
      stream.flow(1, local: "", remote: "/run/redis.sock")
      stream.redis("PING", [], type: "simple_string", value: "PONG")
    }
    #expect(line.contains("\"client\":null,\"server\":\"/run/redis.sock\""))
    let odd = self.line { stream in
      stream.flow(1, local: "\0abstract", remote: .bytes([0xff]))
      stream.redis("PING", [], type: "simple_string", value: "PONG")
    }
    #expect(odd.contains("\"client\":\"@abstract\",\"server\":{\"base64\":\"/w==\"}"))
    let endless = self.line { stream in
      stream.flow(1, local: .text(String(repeating: "a", count: 257)))
      stream.redis("PING", [], type: "simple_string", value: "PONG")
    }
    #expect(endless.contains("\"client\":null,\"server\":\"127.0.0.1:6379\""))
  }

  @Test func aFlowThatNobodyDescribed() {
    let line = line { $0.redis("PING", [], type: "simple_string", value: "PONG") }
    #expect(line.contains("\"direction\":null"))
    #expect(line.hasSuffix("\"client\":null,\"server\":null,\"process\":null}"))
  }

  @Test func withoutAnAnswer() {
    let line = line { $0.exchange(end: nil, request: ["command": "GET"], response: nil, flags: ["unanswered"]) }
    #expect(line.contains("\"command\":\"GET\",\"latency\":null,\"latency_ns\":null,\"first_byte_ns\":null,"))
    #expect(line.hasSuffix(",\"flags\":[\"unanswered\"]}"))
  }

  @Test func theFirstByteMayComeBeforeTheRequestsEnd() {
    let line = line {
      $0.exchange(start: 1000, end: 5000, request: nil, response: ["x": 1], firstByte: 999)
    }
    #expect(line.contains("\"x\":1,\"latency\":\"4µs\",\"latency_ns\":4000,\"first_byte_ns\":-1,"))
  }

  @Test func theProcessOfAnExchangeGoesBeforeTheFlows() {
    let line = line { stream in
      stream.process(1, ["pid": 1])
      stream.process(2, ["pid": 2])
      stream.flow(1, process: 1)
      stream.exchange(request: ["a": 1], response: nil, process: 2)
    }
    #expect(line.contains("\"process\":{\"pid\":2}"))
  }

  @Test func aLaterDescriptionReplacesTheEarlier() {
    var stream = Stream()
    stream.flow(1, process: 1, role: "unknown")
    stream.exchange(request: ["a": 1], response: nil)
    stream.process(1, ["pid": 1])
    stream.exchange(request: ["a": 2], response: nil)
    stream.process(1, ["pid": 1, "container": ["name": "web"]])
    stream.flow(1, process: 1, role: "client")
    stream.exchange(request: ["a": 3], response: nil)
    let lines = Formatted(stream.ended).lines
    #expect(lines[0].contains("\"direction\":null") && lines[0].contains("\"process\":null"))
    #expect(lines[1].contains("\"process\":{\"pid\":1}"))
    #expect(lines[2].contains("\"direction\":\"egress\""))
    #expect(lines[2].contains("\"process\":{\"pid\":1,\"container\":\"web\"}"))
  }

  @Test func idsOfAnotherScopeAreOthers() {
    var first = Stream()
    first.process(1, ["pid": 1])
    first.flow(1, process: 1)
    var second = Stream()
    second.exchange(request: ["a": 1], response: nil)
    for lines in [Formatted(first.ended + second.ended).lines, Formatted(first.bytes + second.ended).lines] {
      #expect(lines.count == 1 && lines[0].contains("\"client\":null,\"server\":null,\"process\":null"))
    }
  }

  @Test func aDecoderOfOnesOwn() {
    let line = line {
      $0.exchange(
        protocol: "smtp", request: ["verb": "RCPT", "to": ["a@example.org"]],
        response: ["code": 250, "text": "ok", "enhanced": ["class": 2]])
    }
    #expect(
      line.contains(
        """
        "protocol":"smtp","direction":null,"verb":"RCPT","to":["a@example.org"],"code":250,"text":"ok",\
        "enhanced":{"class":2},"latency"
        """))
  }

  static let collisions: [(Item, Item, String)] = [
    (["headers": 1], ["headers": 2], "\"request\":{\"headers\":1},\"response\":{\"headers\":2},"),
    (["time": 1], ["status": 2], "\"request\":{\"time\":1},\"response\":{\"status\":2},"),
    (["a": 1, "a": 2], nil, "\"request\":{\"map\":[[\"a\",1],[\"a\",2]]},\"response\":null,"),
    (nil, [1: 2], "\"request\":null,\"response\":{\"map\":[[1,2]]},"),
    // Alone in its own map the name could be ours: only beside the others does it stand.
    (["error": "x"], ["base64": "y"], "\"error\":\"x\",\"base64\":\"y\","),
    ([:], [:], "\"direction\":null,\"latency\""),
  ]

  @Test(arguments: collisions) func names(_ request: Item, _ response: Item, _ expected: String) {
    #expect(line { $0.exchange(request: request, response: response) }.contains(expected))
  }

  /// The names of the exchange before are remembered: what only begins like them must be looked at again.
  @Test func namesOfExchangesInTurn() {
    let turns: [(Item, Item, Bool)] = [
      (["a": 1], ["b": 2], true), (["a": 3], ["b": 4], true), (["a": 1], ["a": 2], false), (["a": 1], ["b": 2], true),
      (["a": 1, "b": 2], nil, true), (nil, ["a": 1, "b": 2], true), (["a": 1], ["b": 2, "a": 3], false),
      (["a": 1], [:], true), (["a": 1], nil, true), ([:], ["a": 1], true), ([.bytes([0x61]): 1], ["b": 2], true),
      (["a": 1, "time": 2], nil, false), (["a": 1], ["time": 2], false), ([:], [:], true), (nil, nil, true),
    ]
    var stream = Stream()
    for turn in turns + turns.reversed() { stream.exchange(request: turn.0, response: turn.1) }
    let areNested = Formatted(stream.ended).lines.map { $0.contains("\"request\":") }
    #expect(areNested == (turns + turns.reversed()).map { !$0.2 })
  }

  @Test(arguments: [
    "time", "protocol", "direction", "latency", "latency_ns", "first_byte_ns", "client", "server", "local", "remote",
    "process", "flags", "request", "response",
  ])
  func ourNamesNeverStandTwice(_ name: String) {
    let line = line { $0.exchange(request: [.text(name): 1], response: nil) }
    #expect(line.contains("\"request\":{\"\(name)\":1},\"response\":null,"))
  }
}
