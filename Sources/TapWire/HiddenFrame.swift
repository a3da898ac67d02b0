// What a filter has left out, for whoever counts on an exchange being the next one.

/// So many exchanges of a flow were hidden before the one that follows.
public struct HiddenFrame: Equatable, Sendable {
  public var flow: UInt64
  public var count: UInt64

  public init(flow: UInt64, count: UInt64) {
    self.flow = flow
    self.count = count
  }

  public init(_ frame: Frame) throws(WireError) {
    try frame.require(2, "hidden")
    var fields = frame.fields
    flow = try fields.readUnsigned()
    count = try fields.readUnsigned()
  }

  public func append(to output: inout ByteBuffer) {
    output.appendFrame(.hidden, fields: 2) { output in
      output.appendUnsigned(flow)
      output.appendUnsigned(count)
    }
  }
}
