// What a decoder has learned of a connection, said once instead of in each of its exchanges.

/// The state of a flow's connection: the exchanges of the flow that follow are shown with it. Replaces an earlier one.
///
/// `state` is a CBOR map with the names that the JSON output shows; empty where nothing is known any more.
public struct ConnectionFrame {
  public var flow: UInt64
  public var state: UnsafeRawBufferPointer

  public init(flow: UInt64, state: UnsafeRawBufferPointer) {
    self.flow = flow
    self.state = state
  }

  public init(_ frame: Frame) throws(WireError) {
    try frame.require(2, "connection")
    var fields = frame.fields
    flow = try fields.readUnsigned()
    state = try fields.readMapItem("the state of a connection, a map")
    try frame.requireEnd(fields, after: 2)
  }

  public func append(to output: inout ByteBuffer) {
    output.appendFrame(.connection, fields: 2) { output in
      output.appendUnsigned(flow)
      output.append(state)
    }
  }
}
