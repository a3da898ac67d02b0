// Streams for tests, frame by frame as docs/tapwire.md describes them.
import TapWire

/// A TapWire stream that begins with a hello frame.
public struct Stream {
  public var bytes: [UInt8]

  /// `wallClockOffset` is added to the times of frames to give nanoseconds since 1970.
  public init(wallClockOffset: Int64 = 0) {
    bytes = ([0, 1, "test 1.0", Item(integerLiteral: wallClockOffset), "host", "file"] as Item).frame
  }

  public mutating func append(_ frame: Item) { bytes += frame.frame }

  public mutating func process(_ id: Int64, _ description: Item) {
    append([1, Item(integerLiteral: id), description])
  }

  public mutating func flow(
    _ id: Int64, process: Item = nil, local: Item = ["127.0.0.1", 50000], remote: Item = ["127.0.0.1", 6379],
    role: String = "client"
  ) {
    append([
      2, Item(integerLiteral: id), process,
      ["transport": "tcp", "local": local, "remote": remote, "role": .text(role)],
    ])
  }

  public mutating func exchange(
    flow: Int64 = 1, start: Item = 1_000_000, end: Item = 1_100_129, protocol name: Item = "redis", request: Item,
    response: Item, flags: Item = [], firstByte: Item = nil, process: Item = nil
  ) {
    append([6, Item(integerLiteral: flow), start, end, name, request, response, flags, firstByte, process])
  }

  /// A Redis exchange as tap-resp writes it.
  public mutating func redis(_ command: String, _ arguments: [Item], type: String, value: Item, flags: Item = []) {
    exchange(
      request: ["command": .text(command), "args": .array(arguments)],
      response: ["response_type": .text(type), "response_value": value], flags: flags)
  }

  /// The bytes with an end frame behind them.
  public var ended: [UInt8] { bytes + ([8, true, [:]] as Item).frame }
}
