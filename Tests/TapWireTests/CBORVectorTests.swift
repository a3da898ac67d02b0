// The examples of RFC 8949, appendix A: read with our reader, written with our writer.
import Support
import Testing

@testable import TapWire

@Suite struct CBORVectorTests {
  private func reader<Result>(_ bytes: [UInt8], _ body: (inout CBORReader) throws -> Result) rethrows -> Result {
    try bytes.withUnsafeBytes { buffer in
      var reader = CBORReader(buffer, streamOffset: 0)
      return try body(&reader)
    }
  }

  private func written(_ body: (inout ByteBuffer) -> Void) -> [UInt8] {
    var buffer = ByteBuffer(capacityBytes: 16)
    body(&buffer)
    return Array(buffer.bytes)
  }

  static let unsigned: [(String, UInt64)] = [
    ("00", 0), ("01", 1), ("0a", 10), ("17", 23), ("1818", 24), ("1819", 25), ("1864", 100), ("1903e8", 1000),
    ("1a000f4240", 1_000_000), ("1b000000e8d4a51000", 1_000_000_000_000), ("1bffffffffffffffff", .max),
  ]

  @Test(arguments: unsigned) func anUnsignedInteger(_ encoding: String, _ value: UInt64) throws {
    #expect(try reader(hex(encoding)) { try $0.readUnsigned() } == value)
    #expect(written { $0.appendUnsigned(value) } == hex(encoding))
    #expect(cborHeadBytes(value) == hex(encoding).count)
  }

  static let signed: [(String, Int64)] = [
    ("20", -1), ("29", -10), ("3863", -100), ("3903e7", -1000), ("3b7fffffffffffffff", .min),
    ("1b7fffffffffffffff", .max),
  ]

  @Test(arguments: signed) func anInteger(_ encoding: String, _ value: Int64) throws {
    #expect(try reader(hex(encoding)) { try $0.readInteger() } == value)
    #expect(written { $0.appendInteger(value) } == hex(encoding))
  }

  @Test(arguments: ["1b8000000000000000", "3b8000000000000000", "f6", "40"])
  func anIntegerBeyond64BitsIsRefused(_ encoding: String) {
    #expect(throws: WireError.self) { try reader(hex(encoding)) { try $0.readInteger() } }
  }

  static let strings: [(String, String)] = [
    ("40", ""), ("4401020304", "\u{1}\u{2}\u{3}\u{4}"), ("60", ""), ("6161", "a"), ("6449455446", "IETF"),
    ("62225c", "\"\\"), ("62c3bc", "ü"), ("63e6b0b4", "水"), ("64f0908591", "\u{10151}"),
  ]

  @Test(arguments: strings) func aString(_ encoding: String, _ value: String) throws {
    let bytes = hex(encoding)
    #expect(try reader(bytes) { Array(try $0.readString()) } == Array(value.utf8))
    let content = Array(value.utf8)
    content.withUnsafeBytes { content in
      #expect(written { bytes[0] & 0xe0 == 0x40 ? $0.appendBytes(content) : $0.appendText(content) } == bytes)
    }
  }

  @Test func theContentDecidesBetweenTextAndBytes() {
    #expect(written { $0.appendString(Array("ok".utf8)) } == hex("626f6b"))
    #expect(written { $0.appendString([0xff]) } == hex("41ff"))
  }

  /// Items that only have to be walked over: floats, simple values, tags, aggregates.
  static let wellFormed = [
    "f90000", "f93c00", "fb3ff199999999999a", "fa47c35000", "f97e00", "f4", "f5", "f6", "f7", "f0", "f8ff",
    "c074323031332d30332d32315432303a30343a30305a", "c11a514b67b0", "d74401020304", "d818456449455446", "80",
    "83010203", "8301820203820405", "98190102030405060708090a0b0c0d0e0f101112131415161718181819", "a0", "a201020304",
    "a26161016162820203", "826161a161626163", "c249010000000000000000", "c349010000000000000000",
  ]

  @Test(arguments: wellFormed) func aWellFormedItem(_ encoding: String) throws {
    let bytes = hex(encoding)
    #expect(try reader(bytes) { Array(try $0.readItem()) } == bytes)
    // Cut anywhere it is an error, and never one byte too far.
    for length in bytes.indices {
      #expect(throws: WireError.self) { try reader(Array(bytes.prefix(length))) { try $0.readItem() } }
    }
    #expect(
      try reader(bytes + [0x00]) { reader in
        _ = try reader.readItem()
        return reader.rest.count
      } == 1)
  }

  /// RFC 8949, appendix F: not well formed.
  static let malformed = [
    "18", "19", "1a", "1b", "1901", "1a0102", "1b01020304050607", "38", "58", "78", "98", "9a01ff00", "b8", "d8",
    "f8", "f900", "fa0000", "fb000000", "41", "61", "5affffffff00", "5bffffffffffffffff010203", "81", "818181",
    "8200", "a1", "a20102", "a100", "a2000000", "c0", "1c", "1d", "1e", "3c", "5c", "7c", "9c", "bc", "dc", "fc",
    "f800", "f818", "f81f", "ff", "81ff", "8200ff", "a1ff", "a100ff", "c0ff", "1f", "3f", "df",
  ]

  @Test(arguments: malformed) func aMalformedItem(_ encoding: String) {
    #expect(throws: WireError.self) { try reader(hex(encoding)) { try $0.readItem() } }
  }

  /// Appendix A's items of indefinite length, and what they are with definite ones.
  static let indefinite: [(String, String)] = [
    ("5f42010243030405ff", "450102030405"), ("7f657374726561646d696e67ff", "6973747265616d696e67"), ("9fff", "80"),
    ("9f018202039f0405ffff", "8301820203820405"), ("9f01820203820405ff", "8301820203820405"),
    ("83018202039f0405ff", "8301820203820405"), ("83019f0203ff820405", "8301820203820405"),
    (
      "9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff",
      "98190102030405060708090a0b0c0d0e0f101112131415161718181819"
    ),
    ("bf61610161629f0203ffff", "a26161016162820203"), ("826161bf61626163ff", "826161a161626163"),
    ("bf6346756ef563416d7421ff", "a26346756ef563416d7421"), ("5fff", "40"), ("7fff", "60"), ("bfff", "a0"),
    ("c29f00ff", "c28100"), ("fb3ff199999999999a", "fb3ff199999999999a"), ("f97e00", "f97e00"), ("f8ff", "f8ff"),
    ("1b0000000000000001", "01"),
  ]

  @Test(arguments: indefinite) func indefiniteLengths(_ encoding: String, _ definite: String) throws {
    #expect(try normalized(hex(encoding)) == hex(definite))
  }

  private func normalized(_ bytes: [UInt8]) throws -> [UInt8] {
    var output = ByteBuffer(capacityBytes: 16)
    try bytes.withUnsafeBytes { try CBORNormalizer.definite($0, streamOffset: 0, into: &output) }
    return Array(output.bytes)
  }

  static let malformedChunks = [
    "5f00ff", "5f6100ff", "5f80ff", "5fa0ff", "5fc000ff", "5fe0ff", "7f4100ff", "5f5f4100ffff", "7f7f6100ffff",
    "bf00ff",
    "bf000000ff", "bf", "9f", "5f4100", "9f01", "81", "0000", "9fffff",
  ]

  @Test(arguments: malformedChunks) func malformedIndefiniteLengths(_ encoding: String) {
    #expect(throws: WireError.self) { try normalized(hex(encoding)) }
  }

  @Test(arguments: [0, 1, 23, 24, 255, 256, 300, 65535, 65536, 70_000])
  func countsThatAreKnownOnlyAtTheBreak(_ count: Int) throws {
    for element in [[0x05], hex("9f0506ff"), hex("63616263")] as [[UInt8]] {
      let items = Array(repeating: element, count: count).flatMap { $0 }
      let inner = try normalized([0x82, 0x01, 0x9f] + items + [0xff])
      // Whatever its head's width, it is the same array.
      try reader(inner) { reader in
        #expect(try reader.readArrayHead() == 2)
        #expect(try reader.readUnsigned() == 1)
        #expect(try reader.readArrayHead() == count)
        for _ in 0..<count { _ = try reader.readItem() }
        #expect(reader.isAtEnd)
      }
      let pairs = try normalized([0xbf] + items + items + [0xff])
      #expect(try reader(pairs) { try $0.readMapHead() } == count)
    }
  }

  @Test func nestingHasABound() {
    for (levels, isGood) in [(512, true), (513, false)] {
      let bytes = Array(repeating: UInt8(0x81), count: levels) + [0x00]
      #expect((try? reader(bytes) { Array(try $0.readItem()) }) == (isGood ? bytes : nil))
      // Large levels keep a longer head than they need: what is read again is what counts.
      let open = Array(repeating: UInt8(0x9f), count: levels) + [0x00] + Array(repeating: UInt8(0xff), count: levels)
      let depth = (try? normalized(open)).flatMap { definite in
        try? reader(definite) { reader in
          var depth = 0
          while try reader.peekHead().major == .array {
            #expect(try reader.readArrayHead() == 1)
            depth += 1
          }
          return depth
        }
      }
      #expect(depth == (isGood ? levels : nil))
    }
  }

  @Test func randomItemsSurviveBothWays() throws {
    let seed: UInt64 = 8949
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<2000 {
      let item = randomItem(depth: 4, &generator)
      let encoding = item.encoding
      #expect(try reader(encoding) { Array(try $0.readItem()) } == encoding, "seed \(seed)")
      #expect(try normalized(encoding) == encoding, "seed \(seed)")
    }
  }

  private func randomItem(depth: Int, _ generator: inout SeededGenerator) -> Item {
    let count = Int.random(in: 0...5, using: &generator)
    switch Int.random(in: 0...(depth > 0 ? 9 : 6), using: &generator) {
    case 0: return .unsigned(UInt64.random(in: 0...UInt64.max, using: &generator) >> UInt64(count * 12))
    case 1: return .negative(complement: UInt64.random(in: 0...UInt64.max, using: &generator) >> UInt64(count * 12))
    case 2: return .text(String(repeating: "ü", count: count * count * count))
    case 3: return .bytes(Array(repeating: 0xff, count: count * 70))
    case 4: return .bool(count > 2)
    case 5: return .null
    case 6: return .double(Double(count) / 7)
    case 7: return .array((0..<count * 6).map { _ in randomItem(depth: depth - 1, &generator) })
    case 8:
      return .map((0..<count).map { _ in (randomItem(depth: 0, &generator), randomItem(depth: depth - 1, &generator)) })
    default: return .tag(WireTag.cut, randomItem(depth: depth - 1, &generator))
    }
  }

  @Test func randomBytesNeverLeaveTheirBounds() {
    let seed: UInt64 = 61_049
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<20_000 {
      let bytes = (0..<Int.random(in: 0...30, using: &generator)).map { _ in
        UInt8.random(in: 0...255, using: &generator)
      }
      reader(bytes) { reader in
        if let item = try? reader.readItem() {
          #expect(item.count + reader.rest.count == bytes.count, "seed \(seed)")
        }
      }
      if let definite = try? normalized(bytes) {
        #expect((try? reader(definite) { Array(try $0.readItem()) }) == definite, "seed \(seed), \(bytes)")
      }
    }
  }

  @Test(arguments: [
    ("", true), ("7f", true), ("c2a2", true), ("e0a080", true), ("ed9fbf", true), ("ee8080", true), ("f0908080", true),
    ("f48fbfbf", true), ("80", false), ("c080", false), ("c1bf", false), ("c2", false), ("e09f80", false),
    ("eda080", false), ("f08f8080", false), ("f4908080", false), ("f5808080", false), ("e282", false), ("ff", false),
  ])
  func utf8(_ digits: String, _ isValid: Bool) {
    // At each place of the words that are looked at together.
    for before in 0...40 {
      let bytes = Array(repeating: UInt8(ascii: "a"), count: before) + hex(digits) + [UInt8(ascii: "z")]
      #expect(bytes.withUnsafeBytes { isValidUTF8($0) } == isValid)
    }
  }

  /// One byte that is not ASCII, at each place, in lengths around those that are copied together.
  @Test func copiesTellASCII() {
    for count in [0, 1, 7, 8, 31, 32, 63, 64, 65, 127, 128, 129, 200, 255, 256, 257, 300] {
      let text = (0..<count).map { UInt8($0 & 0x7f) }
      for place in -1..<count {
        var bytes = text
        if place >= 0 { bytes[place] |= 0x80 }
        var buffer = ByteBuffer(capacityBytes: 16)
        let isASCII = bytes.withUnsafeBytes { buffer.appendTellingASCII($0) }
        #expect(isASCII == (place < 0), "\(count) bytes, the one at \(place)")
        #expect(Array(buffer.bytes) == bytes)
      }
    }
  }
}
