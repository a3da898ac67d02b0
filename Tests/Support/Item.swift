// CBOR written down as it reads, for tests: frames are built from these instead of from the code under test.
import TapWire

/// A CBOR data item.
public indirect enum Item: Sendable {
  case unsigned(UInt64)
  /// `-1 - complement`.
  case negative(complement: UInt64)
  case text(String)
  case bytes([UInt8])
  case array([Item])
  case map([(Item, Item)])
  case tag(UInt64, Item)
  case bool(Bool)
  case null
  case double(Double)
  /// Encoded bytes as they are: for what the writer cannot or must not write.
  case encoded([UInt8])

  public var encoding: [UInt8] {
    switch self {
    case .unsigned(let value): return head(0x00, value)
    case .negative(let complement): return head(0x20, complement)
    case .text(let text): return head(0x60, UInt64(text.utf8.count)) + Array(text.utf8)
    case .bytes(let bytes): return head(0x40, UInt64(bytes.count)) + bytes
    case .array(let items): return head(0x80, UInt64(items.count)) + items.flatMap(\.encoding)
    case .map(let pairs): return head(0xa0, UInt64(pairs.count)) + pairs.flatMap { $0.0.encoding + $0.1.encoding }
    case .tag(let number, let item): return head(0xc0, number) + item.encoding
    case .bool(let value): return [value ? 0xf5 : 0xf4]
    case .null: return [0xf6]
    case .double(let value): return [0xfb] + bigEndian(value.bitPattern, bytes: 8)
    case .encoded(let bytes): return bytes
    }
  }

  /// The item as a frame: its encoding inside a byte string.
  public var frame: [UInt8] { Item.bytes(encoding).encoding }

  private func head(_ major: UInt8, _ argument: UInt64) -> [UInt8] {
    switch argument {
    case ..<24: return [major | UInt8(argument)]
    case ..<0x100: return [major | 24] + bigEndian(argument, bytes: 1)
    case ..<0x1_0000: return [major | 25] + bigEndian(argument, bytes: 2)
    case ..<0x1_0000_0000: return [major | 26] + bigEndian(argument, bytes: 4)
    default: return [major | 27] + bigEndian(argument, bytes: 8)
    }
  }

  private func bigEndian(_ value: UInt64, bytes: Int) -> [UInt8] {
    (0..<bytes).reversed().map { UInt8(truncatingIfNeeded: value >> UInt64($0 * 8)) }
  }
}

extension Item: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral, ExpressibleByBooleanLiteral, ExpressibleByFloatLiteral, ExpressibleByNilLiteral
{
  public init(stringLiteral value: String) { self = .text(value) }
  public init(integerLiteral value: Int64) {
    self = value >= 0 ? .unsigned(UInt64(value)) : .negative(complement: ~UInt64(bitPattern: value))
  }
  public init(arrayLiteral elements: Item...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (Item, Item)...) { self = .map(elements) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(floatLiteral value: Double) { self = .double(value) }
  public init(nilLiteral: ()) { self = .null }
}

/// Bytes from hexadecimal digits; spaces are ignored.
public func hex(_ digits: String) -> [UInt8] {
  let values = digits.compactMap(\.hexDigitValue)
  return stride(from: 0, to: values.count - 1, by: 2).map { UInt8(values[$0] << 4 | values[$0 + 1]) }
}

/// A repeatable source of random numbers (SplitMix64); tests print the seed when they fail.
public struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}
