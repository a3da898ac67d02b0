// A CBOR item as a person reads it: strings as they are, aggregates in brackets, within the line's budget.
import TapWire

extension TextSink where Self: ~Copyable {
  /// Writes the next item of `reader`, which must have been checked with `readItem`.
  ///
  /// Always moves behind the item: what finds no room is counted in the budget.
  mutating func appendPretty(_ reader: inout CBORReader, _ budget: inout LineBudget) throws(WireError) {
    let head = try reader.readHead()
    switch head.major {
    case .byteString, .textString: appendPrettyString(try reader.readPayload(of: head), &budget)
    case .array: try appendPrettyItems(&reader, head.argument, between: "[", "]", &budget)
    case .map: try appendPrettyItems(&reader, head.argument, between: "{", "}", areNamed: true, &budget)
    case .tag: try appendPrettyTagged(&reader, tag: head.argument, &budget)
    default: appendPrettyScalar(head, &budget)
    }
    drain()
  }

  /// Writes a string raw; where it does not fit, its beginning and its length: `abc…(12345 bytes)`.
  private mutating func appendPrettyString(_ bytes: UnsafeRawBufferPointer, _ budget: inout LineBudget) {
    if budget.isSpent {
      budget.hiddenValues += 1
    } else if !appendVisible(bytes, &budget) {
      appendCut(length: UInt64(bytes.count), "bytes")
    }
  }

  private mutating func appendCut(length: UInt64, _ unit: StaticString) {
    append("…(")
    appendDecimal(length)
    append(UInt8(ascii: " "))
    append(unit)
    append(UInt8(ascii: ")"))
  }

  /// The elements of an array, or the pairs of a map.
  private mutating func appendPrettyItems(
    _ reader: inout CBORReader, _ count: UInt64, between opening: StaticString, _ closing: StaticString,
    areNamed: Bool = false, _ budget: inout LineBudget
  ) throws(WireError) {
    appendPunctuation(opening, &budget)
    for index in 0..<count {
      if index > 0 { appendPunctuation(", ", &budget) }
      if areNamed {
        try appendPretty(&reader, &budget)
        appendPunctuation(": ", &budget)
      }
      try appendPretty(&reader, &budget)
    }
    appendPunctuation(closing, &budget)
  }

  mutating func appendPunctuation(_ text: StaticString, _ budget: inout LineBudget) {
    if budget.isSpent { return }
    append(text)
    budget.characters -= text.utf8CodeUnitCount
  }

  private mutating func appendPrettyTagged(
    _ reader: inout CBORReader, tag: UInt64, _ budget: inout LineBudget
  ) throws(WireError) {
    switch TaggedItem(tag, content: reader) {
    case .verbatim(let text):
      _ = try reader.readItem()
      appendPrettyString(text, &budget)
    case .attributes:
      _ = try reader.readArrayHead()
      appendPunctuation("(", &budget)
      try appendPretty(&reader, &budget)
      appendPunctuation(") ", &budget)
      try appendPretty(&reader, &budget)
    case .cut(let fullLength):
      _ = try reader.readArrayHead()
      _ = try reader.readUnsigned()
      try appendPrettyBeginning(&reader, fullLength: fullLength, &budget)
    case .bignum(let bignum):
      _ = try reader.readItem()
      appendPrettyBignum(bignum, &budget)
    case .error, .plain:
      try appendPretty(&reader, &budget)
    }
  }

  private mutating func appendPrettyBignum(_ bignum: Bignum, _ budget: inout LineBudget) {
    if budget.isSpent {
      budget.hiddenValues += 1
      return
    }
    // Nobody reads thousands of digits.
    guard bignum.isDecimal else { return appendCut(length: UInt64(bignum.bytes.count), "bytes") }
    var digits = ByteBuffer(capacityBytes: 64)
    bignum.append(to: &digits)
    appendPrettyString(digits.bytes, &budget)
  }

  /// The beginning of a value that a stage before this one has cut, and the full length.
  private mutating func appendPrettyBeginning(
    _ reader: inout CBORReader, fullLength: UInt64, _ budget: inout LineBudget
  ) throws(WireError) {
    let head = try reader.peekHead()
    guard head.major == .byteString || head.major == .textString else {
      let isHidden = budget.isSpent
      try appendPretty(&reader, &budget)
      if !isHidden { appendCut(length: fullLength, head.major == .map ? "pairs" : "elements") }
      return
    }
    let beginning = try reader.readString()
    if budget.isSpent {
      budget.hiddenValues += 1
    } else {
      appendVisible(beginning, &budget)
      appendCut(length: fullLength, "bytes")
    }
  }

  private mutating func appendPrettyScalar(_ head: CBORHead, _ budget: inout LineBudget) {
    if budget.isSpent {
      budget.hiddenValues += 1
      return
    }
    // Numbers are short: they may reach a little beyond the budget rather than be cut into another number.
    switch head.major {
    case .unsigned: appendDecimal(head.argument)
    case .negative: appendNegative(complement: head.argument)
    default:
      switch SimpleValue(head) {
      case .boolean(let value): append(value ? "true" : "false")
      case .null: append("(nil)")
      case .double(let value): appendDouble(value)
      case .unassigned(let number):
        append("simple(")
        appendDecimal(number)
        append(UInt8(ascii: ")"))
      }
    }
    budget.characters -= 8
  }
}
