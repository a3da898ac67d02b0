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

  private static func joinChunks(
    _ reader: inout CBORReader, of major: CBORMajor, into output: inout ByteBuffer
  ) throws(WireError) {
    var joined = ByteBuffer(capacityBytes: 256)
    while true {
      let start = reader.offset
      let chunk = try reader.readHead()
      if chunk.isBreak { break }
      guard chunk.major == major, !chunk.isIndefinite else {
        throw WireError(offset: start, expected: "a chunk of the same type", found: CBORReader.describe(chunk))
      }
      joined.append(try reader.readPayload(of: chunk))
    }
    output.appendHead(major, UInt64(joined.count))
    output.append(joined.bytes)
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
    // The count is known only at the break: each level is collected apart. A byte is copied once for each level that
    // encloses it, which `maximumDepth` bounds.
    var elements = ByteBuffer(capacityBytes: 256)
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
      try copyItem(&reader, into: &elements, depth: depth + 1)
      items += 1
    }
    output.appendHead(head.major, items / itemsEach)
    output.append(elements.bytes)
  }
}
