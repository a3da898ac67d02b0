// Malformed streams end with status 65 and nothing partial; large and deep ones end at all.
import Format
import Support
import TapWire
import Testing

@Suite struct HostileInputTests {
  static let good: [UInt8] = {
    var stream = Stream()
    stream.redis("GET", ["k"], type: "bulk_string", value: "v")
    return stream.bytes
  }()

  static let malformedFrames: [[UInt8]] = [
    [0x00], [0xff], [0xa0], hex("5b ffffffffffffffff"), hex("5a 01000001"), [0x41], hex("41 80"), hex("42 81f6"),
    ([6] as Item).frame, ([6, 1, 2, 3, "redis", 5, nil, []] as Item).frame,
    ([6, 1, 2, 1, "redis", nil, nil, []] as Item).frame,
    ([6, 1, 2, 3, 4, nil, nil, []] as Item).frame, ([6, 1, 2, 3, "redis", nil, nil, [1]] as Item).frame,
    ([6, 1, 2, 3, "redis", ["a": .encoded([0x9b] + Array(repeating: 0xff, count: 8))], nil, []] as Item).frame,
    ([6, 1, 2, 3, "redis", ["a": .encoded([0xbb] + Array(repeating: 0xff, count: 8))], nil, []] as Item).frame,
    ([6, 1, 2, 3, "redis", ["a": .encoded([0xff])], nil, []] as Item).frame,
    ([6, 1, 2, 3, "redis", ["a": .encoded([0x1c])], nil, []] as Item).frame,
    ([6, 1, 2, 3, "redis", ["a": .encoded(Array(repeating: 0x81, count: 600))], nil, []] as Item).frame,
    ([1, 1, []] as Item).frame, ([2, 1, nil, ["local": ["::1", 65536]]] as Item).frame, ([4, 1, 2] as Item).frame,
    ([5] as Item).frame, ([7, "a", "b"] as Item).frame, ([8] as Item).frame,
  ]

  @Test(arguments: malformedFrames) func malformed(_ frame: [UInt8]) {
    for style in [Style.json(), .pretty(isColored: false)] {
      let whole = Formatted(Self.good + frame, style: style)
      #expect(whole.run.status == .badInput)
      #expect(whole.run.errors.hasPrefix("tap-fmt: malformed TapWire at byte "))
      let place = Int(whole.run.errors.split(separator: " ")[5].dropLast()) ?? 0
      #expect((Self.good.count...Self.good.count + frame.count).contains(place))
      // What came before is printed whole, what came after not at all.
      #expect(whole.run.output == Formatted(Self.good, style: style).run.output)
    }
  }

  @Test func everyBeginningOfAStream() {
    for length in Self.good.indices {
      let status = Formatted(Array(Self.good.prefix(length))).run.status
      let hello = Stream().bytes.count
      #expect(status == (length == 0 || length == hello ? .success : .badInput))
    }
  }

  @Test func randomBytesInsideFrames() {
    let seed: UInt64 = 8949
    var generator = SeededGenerator(seed: seed)
    let exchange: Item = [
      6, 1, 2, 3, "redis", ["command": "SET", "args": ["a", ["b": [1, nil], "c": .tag(2, .bytes([1, 2]))]]],
      ["response_value": .tag(WireTag.cut, [9, "x"])], ["f"], 3,
    ]
    for _ in 0..<5000 {
      var frame = exchange.encoding
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        frame[Int.random(in: frame.indices, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      let input = Stream().bytes + Item.bytes(frame).encoding
      for style in [Style.json(), .pretty(isColored: true)] {
        let formatted = Formatted(input, style: style)
        #expect([.success, .badInput].contains(formatted.run.status), "seed \(seed), \(frame)")
        #expect(
          formatted.run.output.isEmpty || formatted.run.output.last == UInt8(ascii: "\n"), "seed \(seed), \(frame)")
      }
    }
  }

  @Test func indefiniteLengthsAreAccepted() {
    // {_ "command": (_ "G", "ET"), "args": [_ "k"]}, as an encoder that does not know its lengths writes it.
    let request = hex("bf 67 636f6d6d616e64 7f 61 47 62 4554 ff 64 61726773 9f 61 6b ff ff")
    var stream = Stream()
    stream.exchange(request: .encoded(request), response: nil)
    #expect(Formatted(stream.ended).lines.first?.contains("\"command\":\"GET\",\"args\":[\"k\"],") == true)
  }

  @Test func theDeepestNestingIsPrinted() {
    // The request's map and the member are two levels of the 512.
    let depth = 510
    let value = Array(repeating: UInt8(0x81), count: depth) + [0x05]
    let nested = String(repeating: "[", count: depth) + "5" + String(repeating: "]", count: depth)
    #expect(Formatted.json(of: .encoded(value)) == nested)
    // Maps of maps: each is examined once, not once for each level around it.
    var maps: Item = [1: 2]
    for _ in 1..<depth { maps = [1: maps] }
    #expect(Formatted.json(of: maps)?.hasPrefix("{\"map\":[[1,{\"map\":[[1,") == true)
  }

  @Test func aLargeDescriptionLosesItsLargeMembers() {
    var stream = Stream()
    stream.process(
      1,
      [
        "pid": 5, "command_line": .array(Array(repeating: .text(String(repeating: "x", count: 1000)), count: 100)),
        "comm": "java",
      ])
    stream.flow(1, process: 1)
    stream.exchange(request: ["a": 1], response: nil)
    #expect(
      Formatted(stream.ended).lines.first?.hasSuffix(
        "\"process\":{\"pid\":5,\"comm\":\"java\",\"members_omitted\":1}}") == true)
  }

  @Test func descriptionsAreForgottenWhereTheRoomEnds() {
    // 40 MB of processes and flows, of which 24 MiB may stay; flow 1 is used all the time.
    var stream = Stream()
    let filler = Item.text(String(repeating: "x", count: 40_000))
    stream.process(1, ["pid": 1])
    stream.flow(1, process: 1)
    for id: Int64 in 2...1000 {
      stream.process(id, ["pid": Item(integerLiteral: id), "cgroup": filler])
      stream.flow(id, process: Item(integerLiteral: id))
      stream.exchange(flow: 1, request: ["a": 1], response: nil)
    }
    for flow: Int64 in [2, 1000] { stream.exchange(flow: flow, request: ["a": 1], response: nil) }
    let formatted = Formatted(stream.ended)
    #expect(
      formatted.lines.prefix(999).allSatisfy { $0.hasSuffix("\"server\":\"127.0.0.1:6379\",\"process\":{\"pid\":1}}") })
    #expect(formatted.lines[999].hasSuffix("\"client\":null,\"server\":null,\"process\":null}"))
    #expect(formatted.lines[1000].contains("\"process\":{\"pid\":1000,"))
    #expect(formatted.messages.count == 1)
    #expect(
      formatted.messages[0].hasSuffix("descriptions of processes and connections were dropped to bound memory"))
  }

  @Test func closedFlowsMakeRoom() {
    var stream = Stream()
    for id: Int64 in 1...200_000 {
      stream.flow(id)
      stream.append([5, Item(integerLiteral: id), 9, "closed"])
    }
    #expect(Formatted(stream.ended).messages == [])
  }
}
