// Decides ahead which maps can be JSON objects, each byte looked at once, so that deep nesting costs no more than flat.
import TapWire

/// For each map inside an outermost one, in the order of the wire: whether JSON shows it as an object.
///
/// An object needs distinct keys that are UTF-8 strings, and must not look like one of the forms that stand for what
/// JSON has no type for. Other maps are shown as `{"map":[[key,value],…]}`.
struct MapShapes: ~Copyable {
  /// One byte for each map that is not empty: 1 for an object.
  private var verdicts = ByteBuffer(capacityBytes: 64)
  private var next = 0

  /// Whether the map of `pairs` pairs whose first key `reader` stands at is an object.
  ///
  /// Every map must be asked for, in the wire's order.
  mutating func isObject(_ reader: CBORReader, pairs: UInt64) throws(WireError) -> Bool {
    // An empty map needs no verdict, and a frame may hold millions of them.
    if pairs == 0 { return true }
    if next == verdicts.count {
      forget()
      var ahead = reader
      try examineMap(&ahead, pairs: pairs)
    }
    defer { next += 1 }
    return verdicts[next] == 1
  }

  /// Must be called before another frame's maps are asked for.
  mutating func forget() {
    verdicts.removeAll()
    verdicts.shrink(toCapacityBytes: 4096)
    next = 0
  }

  private mutating func examineItem(_ reader: inout CBORReader) throws(WireError) {
    let head = try reader.readHead()
    switch head.major {
    case .byteString, .textString: _ = try reader.readPayload(of: head)
    case .array: for _ in 0..<head.argument { try examineItem(&reader) }
    case .map: try examineMap(&reader, pairs: head.argument)
    case .tag: try examineItem(&reader)
    default: break
    }
  }

  private mutating func examineMap(_ reader: inout CBORReader, pairs: UInt64) throws(WireError) {
    if pairs == 0 { return }
    let index = verdicts.count
    verdicts.append(0)
    var keys = KeySet()
    keys.removeAll(within: reader.rest)
    var isObject = true
    var reserved = ReservedForm()
    for _ in 0..<pairs {
      if isObject {
        let item = reader.rest
        if let key = stringKey(item), keys.insert(key, at: item) {
          reserved.note(key)
        } else {
          isObject = false
          keys.removeAll(within: item)
        }
      }
      try examineItem(&reader)
      try examineItem(&reader)
    }
    verdicts[index] = isObject && !reserved.isComplete(pairs: pairs) ? 1 : 0
  }
}

/// The names of the objects that stand for what JSON has no type for; a map with just these names must not look like one.
private struct ReservedForm {
  private var single = 0
  private var cut = 0
  private var attributes = 0

  mutating func note(_ key: UnsafeRawBufferPointer) {
    if key.elementsEqual("base64".utf8) || key.elementsEqual("error".utf8) || key.elementsEqual("map".utf8) {
      single += 1
    } else if key.elementsEqual("cut".utf8) || key.elementsEqual("length".utf8) {
      cut += 1
    } else if key.elementsEqual("attributes".utf8) || key.elementsEqual("value".utf8) {
      attributes += 1
    }
  }

  func isComplete(pairs: UInt64) -> Bool {
    pairs == 1 ? single == 1 : pairs == 2 && (cut == 2 || attributes == 2)
  }
}
