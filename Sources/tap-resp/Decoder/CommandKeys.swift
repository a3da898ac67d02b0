// What is told of a command beyond its words: its class, and which of its arguments are keys.
import TapWire

/// The arguments in a request map, read as far as they are asked for.
private struct RequestArguments {
  private var reader: CBORReader
  private let stored: Int
  private var items: [UnsafeRawBufferPointer] = []

  init?(_ map: UnsafeRawBufferPointer) {
    reader = CBORReader(map, streamOffset: 0)
    guard (try? reader.readMapHead()) != nil, (try? reader.readItem()) != nil, (try? reader.readItem()) != nil,
      (try? reader.readItem()) != nil, let head = try? reader.peekHead()
    else { return nil }
    // An array, or a mark of a cut one: tag [full length, array].
    if head.major == .tag {
      guard (try? reader.readHead()) != nil, (try? reader.readArrayHead()) != nil, (try? reader.readItem()) != nil
      else { return nil }
    }
    guard let stored = try? reader.readArrayHead() else { return nil }
    self.stored = stored
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
    guard let item = item(position) else { return nil }
    var reader = CBORReader(item, streamOffset: 0)
    return (try? reader.readString()).map { String(decoding: $0.prefix(256), as: UTF8.self) }
  }
}

enum CommandKeys {
  /// The positions of the keys of a command whose keys follow from the number of its arguments, the name counted.
  static func constant(_ traits: CommandTraits, argumentCount: Int) -> [Int] {
    var positions: [Int] = []
    for specification in CommandTable.shared.specifications(of: traits) {
      specification.forEachKey(argumentCount: argumentCount, argument: { _ in nil }, body: { positions.append($0) })
    }
    return positions
  }

  /// Appends the annotations of a request to `output`.
  static func append(
    of request: UnsafeRawBufferPointer, _ traits: CommandTraits, argumentCount: Int, to output: inout ByteBuffer
  ) {
    var traits = traits
    var arguments = RequestArguments(request)
    if traits.isContainer, let name = requestName(request), let subcommand = arguments?.text(1) {
      traits = CommandTable.shared.traits(of: name, subcommand: subcommand)
    }
    var positions: [Int] = []
    var total = 0
    for specification in CommandTable.shared.specifications(of: traits) {
      specification.forEachKey(
        argumentCount: argumentCount, argument: { arguments?.text($0) },
        body: { position in
          total += 1
          if positions.count < RESPLimits.keys { positions.append(position) }
        })
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
