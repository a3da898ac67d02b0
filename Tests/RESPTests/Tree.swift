// CBOR as text that a person compares at a glance: exchanges of tap-resp written on one line.
import TapWire

/// An exchange, read back from the stage's output.
struct Exchange: Equatable, CustomStringConvertible {
  var flow: UInt64
  var start: UInt64
  var end: UInt64?
  var firstByte: UInt64?
  var process: UInt64?
  /// `SET a 1`: the command and its arguments; nil where there is no request.
  var request: String?
  /// `simple_string OK`: the type and the value; nil where there is no response.
  var response: String?
  var flags: [String]
  var annotations: String
  /// What the last connection frame before it said.
  var state = "{}"

  init(_ frame: Frame) throws {
    let exchange = try ExchangeFrame(frame)
    flow = exchange.flow
    start = exchange.start
    end = exchange.end
    firstByte = exchange.firstByte
    process = exchange.process
    request = try exchange.request.map(Exchange.members).map { "\($0["command"] ?? "?") \($0["args"] ?? "?")" }
    response = try exchange.response.map(Exchange.members).map { members in
      var text = "\(members["response_type"] ?? "?") \(members["response_value"] ?? "?")"
      for name in ["response_format", "attributes"] where members[name] != nil {
        text += " \(name) \(members[name] ?? "")"
      }
      return text
    }
    var about = CBORReader(exchange.annotations ?? UnsafeRawBufferPointer(start: nil, count: 0), streamOffset: 0)
    annotations = try exchange.annotations == nil ? "-" : about.readRendered()
    var reader = CBORReader(exchange.flags, streamOffset: 0)
    flags = try (0..<reader.readArrayHead()).map { _ in try reader.readText() }
  }

  /// `SET [a, 1] → simple_string OK (flags)`.
  var description: String {
    let sides = [request, response.map { "→ \($0)" }].compactMap { $0 }.joined(separator: " ")
    return flags.isEmpty ? sides : sides + " (" + flags.joined(separator: ", ") + ")"
  }

  private static func members(_ map: UnsafeRawBufferPointer) throws -> [String: String] {
    var reader = CBORReader(map, streamOffset: 0)
    var members: [String: String] = [:]
    for _ in 0..<(try reader.readMapHead()) {
      let name = try reader.readText()
      members[name] = try reader.readRendered()
    }
    guard reader.isAtEnd else { throw WireError(offset: reader.offset, expected: "the end of the map", found: "more") }
    return members
  }
}

extension CBORReader {
  /// The next item as text: strings bare (CR, LF and NUL escaped), bytes as hexadecimal digits, tags by a letter or name.
  mutating func readRendered() throws -> String {
    let head = try readHead()
    switch head.major {
    case .unsigned: return "\(head.argument)"
    case .negative: return "-\(head.argument + 1)"
    case .textString: return Self.escaped(String(decoding: try readPayload(of: head), as: UTF8.self))
    case .byteString: return "0x" + Self.hexadecimal(try readPayload(of: head))
    case .array: return "[" + (try list(head.argument)).joined(separator: ", ") + "]"
    case .map:
      let pairs = try (0..<head.argument).map { _ in "\(try readRendered()): \(try readRendered())" }
      return "{" + pairs.joined(separator: ", ") + "}"
    case .tag: return Self.name(ofTag: head.argument) + (try readRendered())
    default:
      switch head.additional {
      case 20, 21: return head.additional == 21 ? "true" : "false"
      case 22: return "null"
      default: return "\(Double(bitPattern: head.argument))"
      }
    }
  }

  private mutating func list(_ count: UInt64) throws -> [String] { try (0..<count).map { _ in try readRendered() } }

  private static func name(ofTag tag: UInt64) -> String {
    switch tag {
    case WireTag.simpleString: return "+"
    case WireTag.error: return "-"
    case WireTag.verbatim: return "="
    case WireTag.push: return ">"
    case WireTag.attributes: return "|"
    case WireTag.cut: return "cut"
    case WireTag.set: return "~"
    case WireTag.positiveBignum: return "big"
    case WireTag.negativeBignum: return "big-"
    default: return "tag\(tag)"
    }
  }

  private static func hexadecimal(_ bytes: UnsafeRawBufferPointer) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  private static func escaped(_ text: String) -> String {
    guard text.utf8.contains(where: { $0 < 0x20 }) else { return text }
    return text.unicodeScalars.map { scalar in
      switch scalar {
      case "\r": return "\\r"
      case "\n": return "\\n"
      case "\0": return "\\0"
      default: return String(scalar)
      }
    }.joined()
  }
}
