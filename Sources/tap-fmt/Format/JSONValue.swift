// A CBOR item as a JSON value. docs/json.md is the list of what becomes what; nothing here knows a protocol.
import TapWire

/// The largest magnitude up to which a JSON reader with doubles keeps every integer (RFC 8259, section 6): 2^53.
private let largestExactInteger: UInt64 = 1 << 53

extension TextSink where Self: ~Copyable {
  /// Writes the next item of `reader`, which must have been checked with `readItem`.
  mutating func appendJSON(_ reader: inout CBORReader, _ shapes: inout MapShapes) throws(WireError) {
    let head = try reader.readHead()
    switch head.major {
    case .byteString, .textString: appendJSONString(try reader.readPayload(of: head))
    case .unsigned:
      if head.argument <= largestExactInteger {
        appendDecimal(head.argument)
      } else {
        append(UInt8(ascii: "\""))
        appendDecimal(head.argument)
        append(UInt8(ascii: "\""))
      }
    case .negative:
      if head.argument < largestExactInteger {
        appendNegative(complement: head.argument)
      } else {
        append(UInt8(ascii: "\""))
        appendNegative(complement: head.argument)
        append(UInt8(ascii: "\""))
      }
    case .array: try appendJSONArray(&reader, elements: head.argument, &shapes)
    case .map: try appendJSONMap(&reader, pairs: head.argument, &shapes)
    case .tag: try appendJSONTagged(&reader, tag: head.argument, &shapes)
    default: appendJSONSimple(head)
    }
    drain()
  }

  private mutating func appendJSONArray(
    _ reader: inout CBORReader, elements: UInt64, _ shapes: inout MapShapes
  ) throws(WireError) {
    append(UInt8(ascii: "["))
    for index in 0..<elements {
      if index > 0 { append(UInt8(ascii: ",")) }
      try appendJSON(&reader, &shapes)
    }
    append(UInt8(ascii: "]"))
  }

  private mutating func appendJSONMap(
    _ reader: inout CBORReader, pairs: UInt64, _ shapes: inout MapShapes
  ) throws(WireError) {
    guard try shapes.isObject(reader, pairs: pairs) else {
      append("{\"map\":[")
      for index in 0..<pairs {
        append(index > 0 ? ",[" : "[")
        try appendJSON(&reader, &shapes)
        append(UInt8(ascii: ","))
        try appendJSON(&reader, &shapes)
        append(UInt8(ascii: "]"))
      }
      append("]}")
      return
    }
    append(UInt8(ascii: "{"))
    for index in 0..<pairs {
      if index > 0 { append(UInt8(ascii: ",")) }
      try appendJSON(&reader, &shapes)
      append(UInt8(ascii: ":"))
      try appendJSON(&reader, &shapes)
    }
    append(UInt8(ascii: "}"))
  }

  private mutating func appendJSONTagged(
    _ reader: inout CBORReader, tag: UInt64, _ shapes: inout MapShapes
  ) throws(WireError) {
    switch TaggedItem(tag, content: reader) {
    case .error:
      append("{\"error\":")
      try appendJSON(&reader, &shapes)
      append(UInt8(ascii: "}"))
    case .verbatim(let text):
      _ = try reader.readItem()
      appendJSONString(text)
    case .attributes:
      _ = try reader.readArrayHead()
      append("{\"attributes\":")
      try appendJSON(&reader, &shapes)
      append(",\"value\":")
      try appendJSON(&reader, &shapes)
      append(UInt8(ascii: "}"))
    case .cut(let fullLength):
      _ = try reader.readArrayHead()
      _ = try reader.readUnsigned()
      append("{\"cut\":")
      try appendJSON(&reader, &shapes)
      append(",\"length\":")
      appendDecimal(fullLength)
      append(UInt8(ascii: "}"))
    case .bignum(let bignum):
      _ = try reader.readItem()
      append(UInt8(ascii: "\""))
      bignum.append(to: &self)
      append(UInt8(ascii: "\""))
    case .plain:
      try appendJSON(&reader, &shapes)
    }
  }

  private mutating func appendJSONSimple(_ head: CBORHead) {
    switch SimpleValue(head) {
    case .boolean(let value): append(value ? "true" : "false")
    case .null: append("null")
    case .double(let value) where value.isFinite: appendDouble(value)
    case .double(let value):
      append(UInt8(ascii: "\""))
      appendDouble(value)
      append(UInt8(ascii: "\""))
    case .unassigned(let number):
      append("\"simple(")
      appendDecimal(number)
      append(")\"")
    }
  }
}
