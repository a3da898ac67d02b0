// The byte-level cases of Vectors/resp.jsonl: whole, byte by byte and at random splits, with the same result.
import Foundation
import Support
import TapWire
import Testing

@testable import RESP

/// A line of resp.jsonl.
struct Vector: Decodable, CustomTestStringConvertible {
  var id: String
  var dir: String
  var bytes: String
  var values: Int
  var types: [String]?
  var status: String
  var note: String?

  var testDescription: String { id }
  var content: [UInt8] { bytes.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) } }

  static let all: [Vector] = {
    let path = String(#filePath.dropLast("VectorTests.swift".count)) + "Vectors/resp.jsonl"
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return [] }
    return text.split(separator: "\n").compactMap { try? JSONDecoder().decode(Vector.self, from: Data($0.utf8)) }
  }()
}

@Suite struct VectorTests {
  /// What the parsers make of bytes: messages and kinds, and whether they stood at a boundary, inside, or before an error.
  struct Outcome: Equatable, CustomStringConvertible {
    var messages: [String] = []
    var status = "ok"
    var description: String { "\(messages) \(status)" }
  }

  private static func parse(_ vector: Vector, pieces: [Int]) throws -> Outcome {
    var outcome = Outcome()
    var commands = CommandParser()
    var replies = ReplyParser()
    let content = vector.content
    var begin = 0
    for length in pieces {
      content[begin..<begin + length].withUnsafeBytes { piece in
        var position = 0
        do throws(Malformed) {
          if vector.dir == "C" {
            while case .command = try commands.next(piece, &position) {
              outcome.messages.append(render(commands.writer.bytes.bytes[commands.writer.messageStart...]))
              commands.writer.clear(keepingBytes: RESPLimits.smallestKeptBytes)
            }
          } else {
            while case .message(let kind) = try replies.next(piece, &position) {
              outcome.messages.append("\(kind) " + render(replies.writer.bytes.bytes[...]))
              replies.writer.clear(keepingBytes: RESPLimits.smallestKeptBytes)
            }
          }
        } catch {
          outcome.status = "error"
        }
      }
      if outcome.status == "error" { return outcome }
      begin += length
    }
    if !(vector.dir == "C" ? commands.isAtBoundary : replies.isAtBoundary) { outcome.status = "incomplete" }
    return outcome
  }

  private static func render(_ map: Slice<UnsafeRawBufferPointer>) -> String {
    var reader = CBORReader(UnsafeRawBufferPointer(rebasing: map), streamOffset: 0)
    return (try? reader.readRendered()) ?? "malformed CBOR"
  }

  @Test func areAllThere() { #expect(Vector.all.count == 95) }

  @Test(arguments: Vector.all) func sameForAnySplit(_ vector: Vector) throws {
    let count = vector.content.count
    let whole = try Self.parse(vector, pieces: [count])
    #expect(!whole.messages.contains("malformed CBOR"))
    #expect(try Self.parse(vector, pieces: Array(repeating: 1, count: count)) == whole)
    var generator = SeededGenerator(seed: UInt64(count))
    for _ in 0..<(count > 10_000 ? 2 : 30) {
      let pieces = randomPieces(count, upTo: max(1, count / 3), &generator)
      #expect(try Self.parse(vector, pieces: pieces) == whole, "pieces \(pieces.prefix(100))")
    }
  }

  /// Where this decoder differs from the table on purpose.
  private static let differences: [String: Outcome] = [
    // Lengths of 19 digits are beyond what any peer sends: they are refused, not waited for.
    "huge-array": Outcome(status: "error"), "huge-bulk": Outcome(status: "error"),
    "map-overflow": Outcome(status: "error"),
    // The server answers such a command with an error and closes: the line is no command.
    "inline-quotes": Outcome(status: "error"), "int-arg": Outcome(status: "error"),
    // `*` must be followed by a number: there is nothing to wait for.
    "desync-nul": Outcome(status: "error"),
  ]

  /// Lines and empty arrays that are no commands, and a push that the table does not count as a value.
  private static let messages = [
    "inline-empty": 1, "null-array-then-inline": 1, "empty-array-then-cmd": 1, "http": 2, "push-in-exec": 3,
  ]

  @Test(arguments: Vector.all) func agreesWithTheTable(_ vector: Vector) throws {
    let outcome = try Self.parse(vector, pieces: [vector.content.count])
    if let difference = Self.differences[vector.id] {
      #expect(outcome == difference)
      return
    }
    #expect(outcome.status == vector.status)
    #expect(outcome.messages.count == Self.messages[vector.id] ?? vector.values)
    guard outcome.messages.count == vector.values else { return }
    for (message, type) in zip(outcome.messages, vector.types ?? []) {
      #expect(message.contains(Self.names[type] ?? type), "\(message) is no \(type)")
    }
  }

  private static let names = [
    "simple": "response_type: simple_string", "error": "response_type: error", "bulk": "response_type: bulk_string",
    "null-bulk": "response_type: null", "null-array": "response_type: null", "array": "[",
    "int": "response_type: integer",
    "verbatim": "response_type: verbatim_string", "push": "push {response_type: push",
    "double": "response_type: double",
    "null": "response_type: null", "bool": "response_type: boolean", "map": "response_type: map",
    "set": "response_type: set", "big": "response_type: big_number", "blob-error": "response_type: bulk_error",
    "with-attr": "attributes: {", "streamed-bulk": "response_type: bulk_string",
    "streamed-array": "response_type: array",
    "streamed-map": "response_type: map", "streamed-set": "response_type: set", "inline": "{command: PING, args: []}",
  ]

  @Test(arguments: [
    ("verbatim", "reply {response_type: verbatim_string, response_value: LOLWUT, response_format: txt}"),
    ("push-in-exec", "push {response_type: push, response_value: [message, b, in-multi]}"),
    ("attr-nested", "reply {response_type: array, response_value: [1, 2, |[{+ttl: 3600}, 3]]}"),
    (
      "attr-real",
      "reply {attributes: {key-popularity: [key:123, 90]}, response_type: bulk_string, response_value: Some real reply following the attribute}"
    ),
    ("map-odd-keys", "reply {response_type: map, response_value: {[1, 2]: null, {}: ~[]}}"),
    ("stream-bulk", "reply {response_type: bulk_string, response_value: Hello word}"),
    ("stream-nested", "reply {response_type: array, response_value: [[1], ab]}"),
    ("i64max+1", "reply {response_type: integer, response_value: 9223372036854775808}"),
    ("bulk-binary", "reply {response_type: bulk_string, response_value: 0x0d0a24310d0a00ff2b}"),
    ("error-in-array", "reply {response_type: array, response_value: [+OK, -LOADING server is loading, +OK]}"),
  ]) func values(_ id: String, _ first: String) throws {
    let vector = try #require(Vector.all.first { $0.id == id })
    #expect(try Self.parse(vector, pieces: [vector.content.count]).messages.first == first)
  }
}

/// Lengths of pieces that make up `count`.
func randomPieces(_ count: Int, upTo limit: Int, _ generator: inout SeededGenerator) -> [Int] {
  var pieces: [Int] = []
  var rest = count
  while rest > 0 {
    let piece = min(rest, Int.random(in: 1...limit, using: &generator))
    pieces.append(piece)
    rest -= piece
  }
  return pieces
}
