// Frames come out of a stream whole and in order, however its bytes arrive, and an error knows its place.
import Glibc
import Support
import Testing

@testable import TapWire

@Suite struct FrameReaderTests {
  /// The frames of `input`, and the error at the end if there was one.
  private func read(_ input: [UInt8]) -> (frames: [[UInt8]], error: WireError?) {
    let file = ScratchFile(input)
    lseek(file.descriptor, 0, SEEK_SET)
    var reader = FrameReader(descriptor: file.descriptor)
    var frames: [[UInt8]] = []
    do throws(StageFailure) {
      while let frame = try reader.next() { frames.append(Array(frame.encoded)) }
      return (frames, nil)
    } catch {
      guard case .malformed(let error) = error else { return (frames, nil) }
      return (frames, error)
    }
  }

  private static let sizes = [1, 2, 22, 23, 24, 255, 256, 65_535, 65_536, 300_000, 3_000_000]

  @Test func framesOfEverySizeInOneStream() {
    let frames = (Self.sizes + Self.sizes.reversed()).map {
      ([99, .bytes(Array(repeating: 7, count: $0))] as Item).frame
    }
    let result = read(frames.flatMap { $0 })
    #expect(result.frames == frames)
    #expect(result.error == nil)
  }

  @Test func theLargestFrame() {
    let frame = Item.bytes([0x82, 0x18, 0x63] + Item.bytes(Array(repeating: 1, count: (16 << 20) - 8)).encoding)
      .encoding
    #expect(frame.count == (16 << 20) + 5)
    #expect(read(frame).frames == [frame])
    let larger = Item.bytes([0x82, 0x18, 0x63] + Item.bytes(Array(repeating: 1, count: (16 << 20) - 7)).encoding)
      .encoding
    #expect(read(larger).error?.offset == 0)
  }

  @Test func aPipeThatGivesAByteAtATime() throws {
    var ends: [Int32] = [0, 0]
    #expect(pipe(&ends) == 0)
    defer { close(ends[0]) }
    let frames = [1, 30, 300].map { ([99, .bytes(Array(repeating: 7, count: $0))] as Item).frame }
    let chunked = [0x5f] + Item.bytes([0x81]).encoding + Item.bytes([0x09]).encoding + [0xff]
    var reader = FrameReader(descriptor: ends[0])
    var found: [[UInt8]] = []
    for byte in frames.flatMap({ $0 }) + chunked {
      #expect(write(ends[1], [byte], 1) == 1)
      // Never waits, and never gives a frame before its last byte.
      while let frame = try reader.nextReady() { found.append(Array(frame.encoded)) }
    }
    #expect(found == frames + [([9] as Item).frame])
    close(ends[1])
    #expect(try reader.next() == nil)
    #expect(reader.offset == UInt64(frames.reduce(0) { $0 + $1.count } + chunked.count))
  }

  static let malformed: [(String, UInt64)] = [
    ("00", 0), ("80", 0), ("60", 0), ("a0", 0), ("f6", 0), ("ff", 0), ("5c", 0), ("5d", 0), ("5e", 0), ("40", 1),
    ("4180", 1), ("41a0", 1), ("42 81f6", 2), ("42 8120", 2), ("58", 0), ("59ff", 0), ("5a01000001", 0),
    ("5bffffffffffffffff", 0), ("43 8106", 0), ("5f 4181 6100 ff", 3), ("5f 5f 4181 ff ff", 1), ("5f", 0),
    ("5f 41", 0), ("5f 42 81", 0), ("5f 5a01000001", 1), ("5f 41 81 5a01000000", 3), ("5f ff", 1),
  ]

  @Test(arguments: malformed) func aMalformedFrame(_ bytes: String, _ place: UInt64) {
    let good = ([99, "before"] as Item).frame
    let result = read(good + hex(bytes))
    #expect(result.frames == [good])
    #expect(result.error?.offset == UInt64(good.count) + place)
  }

  @Test func aChunkedFrameThatIsCut() {
    let error = read(hex("5f 42 8163 58 20 010203")).error
    #expect(error == WireError(offset: 0, expected: "a whole frame", found: "the end of the input after 9 bytes of it"))
  }

  @Test func chunksOfEverySize() {
    let content = ([99, .bytes((0..<2000).map { UInt8(truncatingIfNeeded: $0) }), [1, 2]] as Item).encoding
    for size in [1, 2, 7, 23, 24, 100, 1999, 5000] {
      var input: [UInt8] = [0x5f, 0x40]
      for start in stride(from: 0, to: content.count, by: size) {
        input += Item.bytes(Array(content[start..<min(content.count, start + size)])).encoding
      }
      let frame = Item.bytes(content).encoding
      #expect(read(input + [0xff] + frame).frames == [frame, frame])
    }
  }

  @Test func aFrameWhoseArrayIsIndefinite() {
    #expect(read(hex("45 9f 18 63 01 ff")).frames == [hex("44 82 18 63 01")])
    #expect(read(hex("5f 42 9f18 43 6301ff ff")).frames == [hex("44 82 18 63 01")])
  }

  @Test func randomDamage() {
    let seed: UInt64 = 8742
    var generator = SeededGenerator(seed: seed)
    let good = (0..<40).flatMap { ([99, .bytes(Array(repeating: 7, count: $0 * 3))] as Item).frame }
    for _ in 0..<1000 {
      var input = good
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        input[Int.random(in: input.indices, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      let result = read(input)
      #expect(result.error.map { $0.offset <= UInt64(input.count) } ?? true, "seed \(seed)")
    }
  }
}
