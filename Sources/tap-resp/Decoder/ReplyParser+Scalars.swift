// Values that hold no others: bulk strings, lines, numbers, booleans and nulls, each in the form that it has in CBOR.
import TapWire

extension ReplyParser {
  /// The text behind a type byte; returns whether the message is finished.
  mutating func takeLine(_ content: TextLine.Content) throws(Malformed) -> Bool {
    state = .type
    switch type {
    case UInt8(ascii: "+"), UInt8(ascii: "-"):
      appendTextLine(content)
    case UInt8(ascii: ":"), UInt8(ascii: "("):
      guard content.fullLength == content.bytes.count, isDecimal(content.bytes) else { throw Malformed() }
      if isStoring { try appendInteger(content.bytes) }
    case UInt8(ascii: ","):
      guard content.fullLength < 512, let value = parseDouble(content.bytes) else { throw Malformed() }
      guard isStoring else { break }
      if isTop {
        writer.bytes.append(ResponseHead.double)
        writer.bytes.appendText(content.bytes)
      } else {
        writer.bytes.appendDouble(value)
      }
    case UInt8(ascii: "#"):
      guard content.bytes.count == 1, let letter = content.bytes.first, letter == 0x74 || letter == 0x66 else {
        throw Malformed()
      }
      guard isStoring else { break }
      if isTop {
        writer.bytes.append(ResponseHead.boolean)
        if letter == 0x74 { writer.bytes.append("dtrue") } else { writer.bytes.append("efalse") }
      } else {
        writer.bytes.appendBool(letter == 0x74)
      }
    case UInt8(ascii: "_"):
      guard content.bytes.isEmpty else { throw Malformed() }
      return appendNull()
    case UInt8(ascii: "."):
      return try endStreamedAggregate(content)
    default:
      guard content.bytes.count == 1, content.bytes.first == UInt8(ascii: "?") else { throw Malformed() }
      return try beginStreamed()
    }
    return finishValue(isStored: isStoring)
  }

  @inline(__always)
  mutating func appendTextLine(_ content: TextLine.Content) {
    guard isStoring else { return }
    let isErrorLine = type == UInt8(ascii: "-")
    if isTop {
      writer.bytes.append(isErrorLine ? ResponseHead.error : ResponseHead.simpleString)
      isError = isErrorLine
    } else {
      writer.bytes.appendTag(isErrorLine ? WireTag.error : WireTag.simpleString)
    }
    writer.beginString(content.fullLength)
    writer.appendString(content.bytes)
    writer.endString()
  }

  mutating func appendInteger(_ digits: UnsafeRawBufferPointer) throws(Malformed) {
    if isTop {
      writer.bytes.append(type == UInt8(ascii: ":") ? ResponseHead.integer : ResponseHead.bigNumber)
      writer.bytes.appendText(digits)
    } else if let value = parseInteger(digits), type == UInt8(ascii: ":") {
      writer.bytes.appendInteger(value)
    } else {
      writer.bytes.appendBignum(decimal: digits)
    }
  }

  // MARK: Bulk strings

  @inline(__always)
  mutating func beginBulk(_ length: Int) {
    body = BulkBody(length: length)
    state = .body
    guard isStoring else { return }
    if isTop {
      switch type {
      case UInt8(ascii: "="): writer.bytes.append(ResponseHead.verbatimString)
      case UInt8(ascii: "!"):
        writer.bytes.append(ResponseHead.bulkError)
        isError = true
      default: writer.bytes.append(ResponseHead.bulkString)
      }
    } else if type == UInt8(ascii: "!") {
      writer.bytes.appendTag(WireTag.error)
    }
    writer.beginString(length)
  }

  @inline(__always)
  mutating func endBulk() {
    guard isStoring else { return }
    if type == UInt8(ascii: "=") {
      if writer.endVerbatim(isTop: isTop) { writer.bytes[writer.messageStart] += 1 }
    } else {
      writer.endString()
    }
  }

  mutating func appendNull() -> Bool {
    if isStoring {
      if isTop { writer.bytes.append(ResponseHead.null) }
      writer.bytes.appendNull()
    }
    return finishValue(isStored: isStoring)
  }
}
