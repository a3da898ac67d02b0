// What tags and simple values mean, for both formats: each writes them in its own way.
import TapWire

/// What a tag says of its content.
enum TaggedItem {
  /// The content is shown as an error.
  case error
  /// The text of a verbatim string.
  case verbatim(UnsafeRawBufferPointer)
  /// The content is `[attributes, value]`.
  case attributes
  /// The content is `[full length, beginning]`.
  case cut(fullLength: UInt64)
  case bignum(Bignum)
  /// A simple string, a set, a push, a tag that is not known here, or one whose content does not fit: shown as the content.
  case plain

  /// `content` stands behind the tag's head and has been checked with `readItem`.
  init(_ tag: UInt64, content: CBORReader) {
    // A mismatch throws and ends in `plain`: tags are a hint for people, never a reason to lose the value.
    self = (try? TaggedItem.read(tag, content)) ?? .plain
  }

  private static func read(_ tag: UInt64, _ content: CBORReader) throws(WireError) -> TaggedItem {
    var content = content
    let head = try content.peekHead()
    switch tag {
    case WireTag.error:
      return .error
    case WireTag.positiveBignum where head.major == .byteString, WireTag.negativeBignum where head.major == .byteString:
      return .bignum(Bignum(bytes: try content.readString(), isNegative: tag == WireTag.negativeBignum))
    case WireTag.verbatim where isPair(head):
      _ = try content.readArrayHead()
      _ = try content.readString()
      return .verbatim(try content.readString())
    case WireTag.attributes where isPair(head):
      return .attributes
    case WireTag.cut where isPair(head):
      _ = try content.readArrayHead()
      return .cut(fullLength: try content.readUnsigned())
    default:
      return .plain
    }
  }

  private static func isPair(_ head: CBORHead) -> Bool { head.major == .array && head.argument == 2 }
}

/// What major type 7 carries (RFC 8949, section 3.3).
enum SimpleValue {
  case boolean(Bool)
  /// Also for `undefined`.
  case null
  case double(Double)
  case unassigned(UInt64)

  init(_ head: CBORHead) {
    switch head.additional {
    case 20: self = .boolean(false)
    case 21: self = .boolean(true)
    case 22, 23: self = .null
    case 25: self = .double(SimpleValue.half(UInt16(truncatingIfNeeded: head.argument)))
    case 26: self = .double(Double(Float(bitPattern: UInt32(truncatingIfNeeded: head.argument))))
    case 27: self = .double(Double(bitPattern: head.argument))
    default: self = .unassigned(head.argument)
    }
  }

  /// A binary16 float, by hand as RFC 8949's appendix D: not every processor has the type.
  private static func half(_ bits: UInt16) -> Double {
    let exponent = Int(bits >> 10 & 0x1f)
    let fraction = Double(bits & 0x3ff)
    let magnitude: Double
    switch exponent {
    case 0: magnitude = fraction * 0x1p-24
    case 31: magnitude = fraction == 0 ? .infinity : .nan
    default: magnitude = (fraction + 1024) * Double(sign: .plus, exponent: exponent - 25, significand: 1)
    }
    return bits & 0x8000 == 0 ? magnitude : -magnitude
  }
}
