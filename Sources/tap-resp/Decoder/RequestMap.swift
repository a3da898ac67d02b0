// What a request says, for all who follow it: its map read back, as CommandParser has written it.
import TapWire

/// A request map: `{"command": name, "args": [argument, …]}`. Valid as long as the bytes are.
struct RequestMap {
  /// The command's name as an item.
  let name: UnsafeRawBufferPointer
  /// Arguments that are kept.
  let argumentCount: Int
  /// Arguments that there were.
  let fullArgumentCount: Int
  /// Stands before the first argument.
  let arguments: CBORReader
  /// Where in the map that is.
  let argumentsStart: Int

  /// Nil for anything else.
  init?(_ map: UnsafeRawBufferPointer) {
    var reader = CBORReader(map, streamOffset: 0)
    guard (try? reader.readMapHead()) == 2, (try? reader.readItem()) != nil, let name = try? reader.readItem(),
      (try? reader.readItem()) != nil, let head = try? reader.peekHead()
    else { return nil }
    // An array, or the mark of a cut one: tag [full length, array].
    var full: UInt64?
    if head.major == .tag {
      guard (try? reader.readHead()) != nil, (try? reader.readArrayHead()) != nil,
        let length = try? reader.readUnsigned()
      else { return nil }
      full = length
    }
    guard let count = try? reader.readArrayHead() else { return nil }
    self.name = name
    argumentCount = count
    fullArgumentCount = full.map { Int(clamping: $0) } ?? count
    arguments = reader
    argumentsStart = map.count - reader.rest.count
  }

  /// The command's name in upper case; nil where a part of it is missing.
  var nameBytes: UnsafeRawBufferPointer? { RequestMap.string(name) }

  /// The same as text.
  var nameText: String? { nameBytes.map { String(decoding: $0, as: UTF8.self) } }

  /// An argument, counted from 0; nil where there is no such, or a part of it is missing.
  func argumentBytes(_ index: Int) -> UnsafeRawBufferPointer? {
    guard index < argumentCount else { return nil }
    var reader = arguments
    for _ in 0..<index where (try? reader.readItem()) == nil { return nil }
    return try? reader.readString()
  }

  /// The same as text.
  func argument(_ index: Int) -> String? { argumentBytes(index).map { String(decoding: $0, as: UTF8.self) } }

  /// An item that is a string as it is, not the mark of a cut one.
  static func string(_ item: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
    var reader = CBORReader(item, streamOffset: 0)
    return try? reader.readString()
  }
}
