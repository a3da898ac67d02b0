// Any well-formed CBOR is accepted: frames of other writers that use indefinite lengths are rewritten to definite ones here.

/// Rewrites one data item with indefinite lengths (RFC 8949, section 3.2) to the same item with definite ones.
///
/// This is the slow path: our own stages never write indefinite lengths, but many CBOR libraries can.
struct CBORNormalizer {
  /// Returns the rewritten item, or the error with the offset in the stream.
  static func definite(
    _ bytes: UnsafeRawBufferPointer, streamOffset: UInt64, into output: inout ByteBuffer
  ) throws(WireError) {
    var reader = CBORReader(bytes, streamOffset: streamOffset)
    try copyItem(&reader, into: &output, depth: 0)
    guard reader.isAtEnd else {
      throw WireError(offset: reader.offset, expected: "the end of the frame", found: "more items")
    }
  }

  private static func copyItem(
    _ reader: inout CBORReader, into output: inout ByteBuffer, depth: Int
  ) throws(WireError) {
    let start = reader.offset
    guard depth <= CBORReader.maximumDepth else {
      throw WireError(offset: start, expected: "at most \(CBORReader.maximumDepth) levels", found: "deeper nesting")
    }
    let head = try reader.readHead()
    if head.isBreak { throw WireError(offset: start, expected: "a data item", found: "a break") }
    switch head.major {
    case .unsigned, .negative:
      output.appendHead(head.major, head.argument)
    case .byteString, .textString:
      if head.isIndefinite {
        try joinChunks(&reader, of: head.major, into: &output)
      } else {
        let payload = try reader.readPayload(of: head)
        output.appendHead(head.major, head.argument)
        output.append(payload)
      }
    case .array, .map:
      try copyAggregate(&reader, head, into: &output, depth: depth)
    case .tag:
      output.appendHead(.tag, head.argument)
      try copyItem(&reader, into: &output, depth: depth + 1)
    default:
      appendSimple(head, into: &output)
    }
  }

  /// A simple value or float keeps its width: for a float the width is not that of the shortest argument.
  private static func appendSimple(_ head: CBORHead, into output: inout ByteBuffer) {
    output.append(CBORMajor.simple.rawValue | head.additional)
    guard head.additional >= 24 else { return }
    var bits = head.argument.bigEndian
    withUnsafeBytes(of: &bits) {
      output.append(UnsafeRawBufferPointer(rebasing: $0.suffix(1 << (head.additional - 24))))
    }
  }

  /// A string in chunks: measured first, so that its head can be written before it.
  private static func joinChunks(
    _ reader: inout CBORReader, of major: CBORMajor, into output: inout ByteBuffer
  ) throws(WireError) {
    var length: UInt64 = 0
    var ahead = reader
    while let chunk = try nextChunk(&ahead, of: major) { length += UInt64(chunk.count) }
    output.appendHead(major, length)
    while let chunk = try nextChunk(&reader, of: major) { output.append(chunk) }
  }

  private static func nextChunk(
    _ reader: inout CBORReader, of major: CBORMajor
  ) throws(WireError) -> UnsafeRawBufferPointer? {
    let start = reader.offset
    let chunk = try reader.readHead()
    if chunk.isBreak { return nil }
    guard chunk.major == major, !chunk.isIndefinite else {
      throw WireError(offset: start, expected: "a chunk of the same type", found: CBORReader.describe(chunk))
    }
    return try reader.readPayload(of: chunk)
  }

  private static func copyAggregate(
    _ reader: inout CBORReader, _ head: CBORHead, into output: inout ByteBuffer, depth: Int
  ) throws(WireError) {
    let itemsEach: UInt64 = head.major == .map ? 2 : 1
    guard head.isIndefinite else {
      output.appendHead(head.major, head.argument)
      let (items, overflow) = head.argument.multipliedReportingOverflow(by: itemsEach)
      guard !overflow else {
        throw WireError(offset: reader.offset, expected: "a map that fits its frame", found: "\(head.argument) pairs")
      }
      for _ in 0..<items { try copyItem(&reader, into: &output, depth: depth + 1) }
      return
    }
    let headStart = output.count
    for _ in 0..<roomForHeadBytes { output.append(0) }
    var items: UInt64 = 0
    while true {
      let start = reader.offset
      if try reader.peekHead().isBreak {
        _ = try reader.readHead()
        guard items % itemsEach == 0 else {
          throw WireError(offset: start, expected: "a value for the last key", found: "a break")
        }
        break
      }
      try copyItem(&reader, into: &output, depth: depth + 1)
      items += 1
    }
    putHead(head.major, items / itemsEach, at: headStart, in: &output)
  }

  /// Room for the head of an aggregate whose count is known only at its break: what a count below 65,536 needs.
  private static let roomForHeadBytes = 3
  /// Content up to this size is moved for a shorter head. Moving larger ones would cost time by depth: there the head
  /// stays longer than it must be, which every reader of CBOR takes.
  private static let movedContentBytes = 256

  private static func putHead(_ major: CBORMajor, _ count: UInt64, at start: Int, in output: inout ByteBuffer) {
    let contentStart = start + roomForHeadBytes
    // At most 256 levels of a frame can have as many elements as a longer head takes.
    if cborHeadBytes(count) >= roomForHeadBytes || output.count - contentStart <= movedContentBytes {
      return output.replaceSubrange(start..<contentStart, withHead: major, count)
    }
    output[start] = major.rawValue | 25
    output[start + 1] = 0
    output[start + 2] = UInt8(truncatingIfNeeded: count)
  }
}
