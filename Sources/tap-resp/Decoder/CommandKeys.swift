// What is told of a command beyond its words: its class, and which of its arguments are keys.
import TapWire

/// The arguments in a request map, read as far as they are asked for.
struct RequestArguments {
  private var reader: CBORReader
  private let stored: Int
  private var items: [UnsafeRawBufferPointer] = []

  init(_ request: RequestMap) {
    reader = request.arguments
    stored = request.argumentCount
  }

  /// An argument by its position in `argv`.
  mutating func item(_ position: Int) -> UnsafeRawBufferPointer? {
    guard position > 0, position <= stored else { return nil }
    while items.count < position {
      guard let item = try? reader.readItem() else { return nil }
      items.append(item)
    }
    return items[position - 1]
  }

  /// The same as text; nil where it is not whole.
  mutating func text(_ position: Int) -> String? {
    item(position).flatMap { RequestMap.string($0) }.map { String(decoding: $0.prefix(256), as: UTF8.self) }
  }
}

enum CommandKeys {
  /// The positions of the keys of a command whose keys follow from the number of its arguments, the name counted.
  static func constant(_ traits: CommandTraits, argumentCount: Int) -> [Int] {
    CommandTable.shared.specifications(of: traits).flatMap {
      $0.positions(argumentCount: argumentCount, argument: { _ in nil }).prefix(RESPLimits.keys)
    }
  }

  /// Appends the annotations of a request to `output`.
  static func append(
    of request: UnsafeRawBufferPointer, _ traits: CommandTraits, argumentCount: Int, to output: inout ByteBuffer
  ) {
    var traits = traits
    let request = RequestMap(request)
    var arguments = request.map { RequestArguments($0) }
    if traits.isContainer, let name = request?.nameText, let subcommand = arguments?.text(1) {
      traits = CommandTable.shared.traits(of: name, subcommand: subcommand)
    }
    var positions: [Int] = []
    var total = 0
    for specification in CommandTable.shared.specifications(of: traits) {
      let keys = specification.positions(argumentCount: argumentCount, argument: { arguments?.text($0) })
      total += keys.count
      positions += keys.prefix(RESPLimits.keys - positions.count)
    }
    let items = positions.compactMap { arguments?.item($0) }
    output.appendAnnotations(traits.commandClass, keys: items.count, of: max(total, items.count))
    for item in items { output.appendCut(item: item, to: RESPLimits.keyBytes) }
  }
}

extension ByteBuffer {
  /// Writes the annotations up to the first of `keys` keys; `total` is how many the command has.
  mutating func appendAnnotations(_ commandClass: CommandClass, keys: Int, of total: Int) {
    appendMapHead(total > 0 ? 2 : 1)
    append(commandClass.member)
    guard total > 0 else { return }
    appendText("keys" as StaticString)
    if keys < total {
      appendTag(WireTag.cut)
      appendArrayHead(2)
      appendUnsigned(UInt64(total))
    }
    appendArrayHead(keys)
  }

  /// Writes a string that is CBOR already, of which no more than `limit` bytes are kept.
  mutating func appendCut(item: UnsafeRawBufferPointer, to limit: Int) {
    let start = count
    append(item)
    guard item.count > limit + ValueTrimmer.markBytes else { return }
    let kept = ValueTrimmer.trim(UnsafeMutableRawBufferPointer(rebasing: mutableBytes[start...]), to: limit)
    truncate(to: start + kept)
  }
}

extension CommandParser {
  /// Writes the annotations of the finished command behind its map. Where its name is not whole nothing is known of it.
  mutating func annotate(_ traits: CommandTraits, isNameWhole: Bool) {
    // The writer's buffer may move while it grows.
    var annotations = ByteBuffer(capacityBytes: 64)
    CommandKeys.append(
      of: message, isNameWhole ? traits : CommandTraits(), argumentCount: Int(argumentCount) + 1, to: &annotations)
    writer.bytes.append(annotations.bytes)
  }
}
