// Where text goes: straight into the stage's output, or into a buffer that keeps it for many lines.
import TapWire

/// Takes text. The writers of JSON and of visible text are extensions of it.
package protocol TextSink: ~Copyable {
  mutating func append(_ byte: UInt8)
  mutating func append(_ bytes: UnsafeRawBufferPointer)
  mutating func append(_ literal: StaticString)
  /// Lets `body` write up to `bytes` bytes and return how many it wrote.
  mutating func write(upTo bytes: Int, _ body: (UnsafeMutableBufferPointer<UInt8>) -> Int)
  /// Called between the parts of a long text, so that memory stays bounded whatever the length of a line.
  mutating func drain()
}

extension ByteBuffer: TextSink {
  @inline(__always)
  package mutating func write(upTo bytes: Int, _ body: (UnsafeMutableBufferPointer<UInt8>) -> Int) {
    append(capacityBytes: bytes, body)
  }

  package mutating func drain() {}
}

extension Output: TextSink {
  @inline(__always)
  package mutating func append(_ byte: UInt8) { buffer.append(byte) }

  @inline(__always)
  package mutating func append(_ bytes: UnsafeRawBufferPointer) { buffer.append(bytes) }

  @inline(__always)
  package mutating func append(_ literal: StaticString) { buffer.append(literal) }

  @inline(__always)
  package mutating func write(upTo bytes: Int, _ body: (UnsafeMutableBufferPointer<UInt8>) -> Int) {
    buffer.append(capacityBytes: bytes, body)
  }

  /// Writes what is ready, also in the middle of a line: a value may be larger than the memory of the stage.
  @inline(__always)
  package mutating func drain() { endRecord() }
}
