// --max-value: cuts each value of an exchange to the same length, whatever there is room for.
import TapWire

/// Copies request and response maps with their values cut.
struct ValueCutter {
  /// Longer strings are cut to it, where that makes them shorter: the mark takes some bytes itself.
  let limitBytes: Int

  /// Members whose values the decoder has written: never cut.
  private static let ownMembers: [StaticString] = ["command", "response_type", "response_format"]

  /// Appends `map` to `output`; returns whether anything of it was cut.
  func append(_ map: UnsafeRawBufferPointer, to output: inout ByteBuffer) -> Bool {
    var reader = CBORReader(map, streamOffset: 0)
    guard let pairs = try? reader.readMapHead() else { return false }
    output.appendMapHead(pairs)
    var isCut = false
    for _ in 0..<pairs {
      guard let key = try? reader.readString(), let value = try? reader.readItem() else { return isCut }
      output.appendText(key)
      let isOwn = ValueCutter.ownMembers.contains { name in
        key.elementsEqual(UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
      }
      if isOwn { output.append(value) } else if append(tokensOf: value, to: &output) { isCut = true }
    }
    return isCut
  }

  /// Copies an item token by token: nothing nests deeper here than it did on the wire.
  private func append(tokensOf item: UnsafeRawBufferPointer, to output: inout ByteBuffer) -> Bool {
    var reader = CBORReader(item, streamOffset: 0)
    var isCut = false
    // Tokens up to the beginning that a mark holds: an array's head, the full length, the beginning.
    var tokensOfMark = 0
    // Tokens up to a string that is no value: the digits of a bignum, the format of a verbatim string.
    var tokensOfString = 0
    while !reader.isAtEnd {
      let start = item.count - reader.rest.count
      guard let head = try? reader.readHead() else { break }
      let isInMark = tokensOfMark == 1
      let isNoValue = tokensOfString == 1
      tokensOfMark -= min(tokensOfMark, 1)
      tokensOfString -= min(tokensOfString, 1)
      if head.major == .byteString || head.major == .textString, let payload = try? reader.readPayload(of: head),
        !isNoValue, payload.count > limitBytes
      {
        let kept = ValueTrimmer.prefixBytes(of: payload, limit: limitBytes, isText: head.major == .textString)
        let mark = CutMark(fullLength: isInMark ? nil : payload.count, keptBytes: kept, major: head.major)
        if mark.count + kept < item.count - reader.rest.count - start {
          output.append(mark)
          output.append(UnsafeRawBufferPointer(rebasing: payload[..<kept]))
          isCut = true
          continue
        }
      }
      output.append(UnsafeRawBufferPointer(rebasing: item[start..<(item.count - reader.rest.count)]))
      guard head.major == .tag else { continue }
      switch head.argument {
      case WireTag.cut: tokensOfMark = 3
      case WireTag.positiveBignum, WireTag.negativeBignum: tokensOfString = 1
      case WireTag.verbatim: tokensOfString = 2
      default: break
      }
    }
    return isCut
  }
}

extension ByteBuffer {
  mutating func append(_ mark: CutMark) {
    reserve(mark.count)
    mark.store(at: unusedTail)
    useTail(mark.count)
  }
}
