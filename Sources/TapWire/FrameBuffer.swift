// A frame whose length is known only when its content is written.

/// A frame under construction: its content is written first, the head of its byte string put before it afterwards.
struct FrameBuffer: ~Copyable {
  private static let headRoomBytes = 9

  /// Append the frame's content here.
  var content: ByteBuffer

  init(capacityBytes: Int = 256) {
    content = ByteBuffer(capacityBytes: capacityBytes + FrameBuffer.headRoomBytes)
    for _ in 0..<FrameBuffer.headRoomBytes { content.append(0) }
  }

  var contentBytes: Int { content.count - FrameBuffer.headRoomBytes }

  /// Writes the head and returns the byte string, with the length of its head.
  mutating func finish() -> (encoded: UnsafeRawBufferPointer, headBytes: Int) {
    var head = ByteBuffer(capacityBytes: FrameBuffer.headRoomBytes)
    head.appendHead(.byteString, UInt64(contentBytes))
    let start = FrameBuffer.headRoomBytes - head.count
    for index in 0..<head.count { content[start + index] = head.bytes[index] }
    return (UnsafeRawBufferPointer(rebasing: content.bytes[start...]), head.count)
  }
}
