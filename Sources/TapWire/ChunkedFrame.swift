// Frames in byte strings of indefinite length (RFC 8949, section 3.2.3): joined as the chunks arrive, each byte moved once.

/// A frame that arrives in chunks.
struct ChunkedFrame: ~Copyable {
  /// Where its byte string begins in the input stream.
  let streamOffset: UInt64
  /// The content so far, behind room for the head.
  var joined = FrameBuffer()
  private var chunkBytesLeft = 0
  private(set) var isWhole = false

  /// Begins behind the initial byte 0x5f, which stands at `streamOffset`.
  init(streamOffset: UInt64) { self.streamOffset = streamOffset }

  /// Takes what it can of `bytes`, which stand at `offset` of the input, and returns how many it took.
  mutating func take(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(WireError) -> Int {
    var position = 0
    while position < bytes.count, !isWhole {
      if chunkBytesLeft > 0 {
        let taken = min(chunkBytesLeft, bytes.count - position)
        joined.content.append(UnsafeRawBufferPointer(rebasing: bytes[position..<position + taken]))
        chunkBytesLeft -= taken
        position += taken
        continue
      }
      let rest = UnsafeRawBufferPointer(rebasing: bytes[position...])
      guard rest.count >= cborHeadBytes(initialByte: rest[0]) else { break }
      var reader = CBORReader(rest, streamOffset: offset &+ UInt64(position))
      let head = try reader.readHead()
      if head.isBreak {
        isWhole = true
        joined.content.shrink(toCapacityBytes: joined.content.count)
      } else {
        try begin(head, at: offset &+ UInt64(position))
      }
      position += rest.count - reader.rest.count
    }
    return position
  }

  private mutating func begin(_ chunk: CBORHead, at offset: UInt64) throws(WireError) {
    guard chunk.major == .byteString, !chunk.isIndefinite else {
      throw WireError(offset: offset, expected: "a chunk of a byte string", found: CBORReader.describe(chunk))
    }
    guard chunk.argument <= UInt64(Frame.maximumBytes - joined.contentBytes) else {
      throw WireError(
        offset: offset, expected: "a frame of at most \(Frame.maximumBytes) bytes",
        found: "\(joined.contentBytes) bytes and a chunk of \(chunk.argument)")
    }
    chunkBytesLeft = Int(chunk.argument)
  }
}
