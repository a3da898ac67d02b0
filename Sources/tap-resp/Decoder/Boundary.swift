// Whether messages begin somewhere: what stands there must fit for a while, not only look like a type.

/// Checks whether messages can begin at a position, by walking them without decoding.
enum Boundary {
  enum Finding: Equatable {
    /// Messages begin there.
    case holds
    case fails
    /// What there is does not contradict, and is too little.
    case needsMore
  }

  /// Elements that must fit before a position is believed although more bytes follow.
  private static let sufficientElements = 16

  /// Whether a command begins at `start`: `*N`, then bulk strings that end where they say. With `isFirstEnough` whatever
  /// follows the name does not count.
  static func commands(_ bytes: UnsafeRawBufferPointer, at start: Int, isFirstEnough: Bool = false) -> Finding {
    var position = start
    var elements = 0
    while elements < sufficientElements {
      if position == bytes.count { return elements > 0 ? .holds : .needsMore }
      guard bytes[position] == UInt8(ascii: "*") else { return .fails }
      position += 1
      switch number(bytes, &position) {
      case .none: return .needsMore
      case .some(.none): return .fails
      case .some(.some(let count)):
        guard count >= 1, count <= 1 << 20 else { return .fails }
        for _ in 0..<min(count, Int64(sufficientElements)) {
          let finding = bulk(bytes, &position)
          // The head of a command and of an argument behind it are evidence, also while the argument is coming.
          if finding != .holds { return finding == .needsMore && elements > 0 ? .holds : finding }
          elements += 1
          if isFirstEnough { return .holds }
        }
        if count > Int64(sufficientElements) { return .holds }
      }
    }
    return .holds
  }

  /// Whether a reply begins at `start`; with `isFirstEnough` whatever follows the first does not count.
  static func replies(_ bytes: UnsafeRawBufferPointer, at start: Int, isFirstEnough: Bool = false) -> Finding {
    var position = start
    var open: Int64 = 1
    var elements = 0
    // Behind a whole reply, and not behind the head of an array of one element.
    var isBetween = false
    while elements < sufficientElements {
      if position == bytes.count { return isBetween || elements > 1 ? .holds : .needsMore }
      let type = bytes[position]
      switch type {
      case UInt8(ascii: "$"), UInt8(ascii: "="), UInt8(ascii: "!"):
        let finding = bulk(bytes, &position)
        if finding != .holds { return finding == .needsMore && elements > 1 ? .holds : finding }
        open -= 1
      case UInt8(ascii: "*"), UInt8(ascii: "%"), UInt8(ascii: "~"), UInt8(ascii: ">"), UInt8(ascii: "|"):
        position += 1
        switch number(bytes, &position) {
        case .none: return elements > 1 ? .holds : .needsMore
        case .some(.none): return .fails
        case .some(.some(let count)):
          guard count >= -1, count <= 1 << 30 else { return .fails }
          let items = max(count, 0) * (type == UInt8(ascii: "%") || type == UInt8(ascii: "|") ? 2 : 1)
          open += items - (type == UInt8(ascii: "|") ? 0 : 1)
        }
      case UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: ":"), UInt8(ascii: ","), UInt8(ascii: "("),
        UInt8(ascii: "#"), UInt8(ascii: "_"):
        let finding = line(bytes, &position, type)
        if finding != .holds { return finding == .needsMore && elements > 1 ? .holds : finding }
        open -= 1
      default:
        return .fails
      }
      elements += 1
      // What is believed of the first bytes must not change with those that come in the same segment.
      if isFirstEnough, open <= 0 || elements > 1 { return .holds }
      isBetween = open <= 0
      if isBetween { open = 1 }
    }
    return .holds
  }

  /// `$N\r\n` and N bytes and CRLF, as far as they are there.
  private static func bulk(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) -> Finding {
    guard position < bytes.count else { return .needsMore }
    guard [UInt8(ascii: "$"), UInt8(ascii: "="), UInt8(ascii: "!")].contains(bytes[position]) else { return .fails }
    position += 1
    switch number(bytes, &position) {
    case .none: return .needsMore
    case .some(.none): return .fails
    case .some(.some(let length)):
      if length == -1 { return .holds }
      guard length >= 0, length <= 1 << 40 else { return .fails }
      guard length <= Int64(bytes.count - position) else { return .needsMore }
      position += Int(length)
      guard bytes.count - position >= 2 else { return .needsMore }
      guard bytes[position] == 0x0d, bytes[position + 1] == 0x0a else { return .fails }
      position += 2
      return .holds
    }
  }

  /// A line of plain text: what stands in simple strings, errors and numbers is printable.
  private static func line(_ bytes: UnsafeRawBufferPointer, _ position: inout Int, _ type: UInt8) -> Finding {
    position += 1
    let isNumeric = type == UInt8(ascii: ":") || type == UInt8(ascii: "(")
    // Lines are short; a limit keeps what is read again when more bytes come small.
    let limit = position + 1024
    while position < bytes.count {
      guard position < limit else { return .fails }
      let byte = bytes[position]
      position += 1
      if byte == 0x0d {
        guard position < bytes.count else { return .needsMore }
        guard bytes[position] == 0x0a else { return .fails }
        position += 1
        return .holds
      }
      guard byte >= 0x20, !isNumeric || byte == 0x2d || byte == 0x2b || (0x30...0x39).contains(byte) else {
        return .fails
      }
    }
    return .needsMore
  }

  /// A number and CRLF: nil where more bytes are needed, `.some(nil)` where it is none.
  private static func number(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) -> Int64?? {
    var parser = NumberLine()
    do throws(Malformed) {
      guard let value = try parser.read(bytes, &position) else { return .none }
      return .some(value)
    } catch {
      return .some(nil)
    }
  }
}
