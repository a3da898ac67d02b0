// Every type of CBOR, and every RESP type that a tag carries, has one form in JSON: the table of docs/json.md.
import Support
import TapWire
import Testing

@Suite struct JSONValueTests {
  static let values: [(Item, String)] = [
    (0, "0"), (7, "7"), (-1, "-1"), (1_000_000, "1000000"),
    // Integers are numbers as far as every JSON reader keeps them exactly: up to 2^53.
    (9_007_199_254_740_992, "9007199254740992"), (9_007_199_254_740_993, "\"9007199254740993\""),
    (-9_007_199_254_740_992, "-9007199254740992"), (-9_007_199_254_740_993, "\"-9007199254740993\""),
    (.unsigned(.max), "\"18446744073709551615\""), (.negative(complement: .max), "\"-18446744073709551616\""),
    ("text", "\"text\""), ("", "\"\""), ("µ \u{1f600}", "\"µ \u{1f600}\""),
    (.bytes(Array("text".utf8)), "\"text\""),
    (.bytes([0xff, 0x00]), "{\"base64\":\"/wA=\"}"),
    // A text string that is no UTF-8 is a lie of its writer.
    (.encoded([0x62, 0xc3, 0x28]), "{\"base64\":\"wyg=\"}"),
    (true, "true"), (false, "false"), (nil, "null"), (.encoded([0xf7]), "null"),
    (.encoded([0xf0]), "\"simple(16)\""), (.encoded([0xf8, 0xff]), "\"simple(255)\""),
    (1.5, "1.5"), (0.1, "0.1"), (1e300, "1e+300"), (-0.0, "-0.0"),
    (.double(.infinity), "\"inf\""), (.double(-.infinity), "\"-inf\""), (.double(.nan), "\"nan\""),
    (.encoded(hex("f9 3e00")), "1.5"), (.encoded(hex("f9 0001")), "5.960464477539063e-08"),
    (.encoded(hex("f9 fc00")), "\"-inf\""), (.encoded(hex("fa 47c35000")), "100000.0"),
    ([], "[]"), ([1, ["a"], nil], "[1,[\"a\"],null]"),
    ([:], "{}"), (["a": 1, "b": ["c": true]], "{\"a\":1,\"b\":{\"c\":true}}"),
    (.tag(0, "2013-03-21T20:04:00Z"), "\"2013-03-21T20:04:00Z\""), (.tag(99_999_999, [1]), "[1]"),
  ]

  @Test(arguments: values) func plainValue(_ value: Item, _ expected: String) {
    #expect(Formatted.json(of: value) == expected)
  }

  static let taggedValues: [(Item, String)] = [
    (.tag(WireTag.simpleString, "OK"), "\"OK\""),
    (.tag(WireTag.error, "ERR no"), "{\"error\":\"ERR no\"}"),
    (.tag(WireTag.error, .bytes([0xff])), "{\"error\":{\"base64\":\"/w==\"}}"),
    (.tag(WireTag.verbatim, ["txt", "some text"]), "\"some text\""),
    (.tag(WireTag.push, ["message", "channel"]), "[\"message\",\"channel\"]"),
    (.tag(WireTag.set, ["a", 1]), "[\"a\",1]"),
    (.tag(WireTag.attributes, [["ttl": 5], "value"]), "{\"attributes\":{\"ttl\":5},\"value\":\"value\"}"),
    (.tag(WireTag.cut, [1000, "beginning"]), "{\"cut\":\"beginning\",\"length\":1000}"),
    (.tag(WireTag.cut, [3, [1, 2]]), "{\"cut\":[1,2],\"length\":3}"),
    // Content that does not fit a tag is shown, not refused.
    (.tag(WireTag.verbatim, "no pair"), "\"no pair\""), (.tag(WireTag.cut, [["a": 1], "b"]), "[{\"a\":1},\"b\"]"),
    (.tag(WireTag.attributes, [1]), "[1]"), (.tag(WireTag.positiveBignum, [1]), "[1]"),
  ]

  @Test(arguments: taggedValues) func taggedValue(_ value: Item, _ expected: String) {
    #expect(Formatted.json(of: value) == expected)
  }

  static let bignums: [(Item, String)] = [
    (.tag(2, .bytes([])), "\"0\""), (.tag(2, .bytes([0, 0, 5])), "\"5\""), (.tag(3, .bytes([])), "\"-1\""),
    (.tag(2, .bytes(hex("010000000000000000"))), "\"18446744073709551616\""),
    (.tag(3, .bytes(hex("ffffffffffffffff"))), "\"-18446744073709551616\""),
    (
      .tag(2, .bytes(hex("29a0a9ae0e9ad1ee1b3e5ae7f3fdd5bc6e1eab0c2a8e2cd0"))),
      "\"1020705515008182832470903508207336892058905121565268913360\""
    ),
    // 10^38: the zeros of the lower groups must be there.
    (.tag(2, .bytes(hex("4b3b4ca85a86c47a098a224000000000"))), "\"1" + String(repeating: "0", count: 38) + "\""),
    (.tag(2, .bytes([1] + Array(repeating: 0, count: 2048))), "\"0x1" + String(repeating: "0", count: 4096) + "\""),
    (
      .tag(3, .bytes(Array(repeating: 0xff, count: 2049))),
      "\"-0x1" + String(repeating: "0", count: 4098) + "\""
    ),
  ]

  @Test(arguments: bignums) func bignum(_ value: Item, _ expected: String) {
    #expect(Formatted.json(of: value) == expected)
  }

  static let maps: [(Item, String)] = [
    // An object needs distinct string keys.
    ([1: "a"], "{\"map\":[[1,\"a\"]]}"), ([nil: 1, "b": 2], "{\"map\":[[null,1],[\"b\",2]]}"),
    (["a": 1, "a": 2], "{\"map\":[[\"a\",1],[\"a\",2]]}"),
    (["a": 1, .tag(WireTag.simpleString, "a"): 2], "{\"map\":[[\"a\",1],[\"a\",2]]}"),
    ([.tag(WireTag.simpleString, "a"): 1, .bytes([0x62]): 2], "{\"a\":1,\"b\":2}"),
    ([.bytes([0xff]): 1], "{\"map\":[[{\"base64\":\"/w==\"},1]]}"),
    ([["k": 1]: ["v": ["x": 2, "x": 3]]], "{\"map\":[[{\"k\":1},{\"v\":{\"map\":[[\"x\",2],[\"x\",3]]}}]]}"),
    // Empty maps stand between others without a verdict of their own.
    (["a": [:], "b": [1: [:]], "c": ["d": [:]]], "{\"a\":{},\"b\":{\"map\":[[1,{}]]},\"c\":{\"d\":{}}}"),
    // What looks like one of our own forms is told apart.
    (["base64": "AAAA"], "{\"map\":[[\"base64\",\"AAAA\"]]}"), (["error": "x"], "{\"map\":[[\"error\",\"x\"]]}"),
    (["map": []], "{\"map\":[[\"map\",[]]]}"),
    (["cut": "a", "length": 1], "{\"map\":[[\"cut\",\"a\"],[\"length\",1]]}"),
    (["value": 1, "attributes": 2], "{\"map\":[[\"value\",1],[\"attributes\",2]]}"),
    (["error": "x", "code": 1], "{\"error\":\"x\",\"code\":1}"), (["cut": 1, "value": 2], "{\"cut\":1,\"value\":2}"),
  ]

  @Test(arguments: maps) func map(_ value: Item, _ expected: String) {
    #expect(Formatted.json(of: value) == expected)
  }

  @Test(arguments: [11, 12, 13, 14, 63, 64, 65, 1000, 100_000])
  func aMapOfManyKeysIsAnObjectUnlessOneComesTwice(count: Int) {
    let distinct = (0..<count).map { (Item.text("key\($0)"), Item.unsigned(UInt64($0))) }
    #expect(Formatted.json(of: .map(distinct))?.hasPrefix("{\"key0\":0,") == true)
    let repeated = distinct + [(Item.text("key\(count / 2)"), Item.null)]
    let json = Formatted.json(of: .map(repeated))
    #expect(json?.hasPrefix("{\"map\":[[\"key0\",0],") == true)
    #expect(json?.hasSuffix(",[\"key\(count / 2)\",null]]}") == true)
  }
}
