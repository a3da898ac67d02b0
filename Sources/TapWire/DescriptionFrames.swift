// The frames that describe: hello, process and flow. Rare, so they are plain Swift values.

/// Begins a stream, and a new scope of ids.
public struct HelloFrame: Equatable, Sendable {
  public var version: UInt64
  /// The program that made the stream, with its version: `tap-capture 0.1.0`.
  public var producer: String
  /// What to add to a frame's time for nanoseconds since 1970-01-01T00:00:00Z.
  public var wallClockOffset: Int64
  public var host: String
  /// `live` or `file`.
  public var source: String

  public init(producer: String, wallClockOffset: Int64, host: String, source: String) {
    version = tapWireVersion
    self.producer = producer
    self.wallClockOffset = wallClockOffset
    self.host = host
    self.source = source
  }

  public init(_ frame: Frame) throws(WireError) {
    try frame.require(5, "hello")
    var fields = frame.fields
    let start = fields.offset
    version = try fields.readUnsigned()
    guard version == tapWireVersion else {
      throw WireError(offset: start, expected: "TapWire version \(tapWireVersion)", found: "version \(version)")
    }
    producer = try fields.readText()
    wallClockOffset = try fields.readInteger()
    host = try fields.readText()
    source = try fields.readText()
    try frame.requireEnd(fields, after: 5)
  }

  public func append(to output: inout ByteBuffer) {
    output.appendFrame(.hello, fields: 5) { output in
      output.appendUnsigned(version)
      output.appendText(producer)
      output.appendInteger(wallClockOffset)
      output.appendText(host)
      output.appendText(source)
    }
  }
}

/// Describes a process. Its map has the names that the JSON output shows: `pid`, `exe`, `comm`, `user`, …
///
/// The map is kept as CBOR: most readers only pass it on.
public struct ProcessFrame {
  public var id: UInt64
  /// A well-formed CBOR map with text keys.
  public var description: UnsafeRawBufferPointer

  public init(_ frame: Frame) throws(WireError) {
    try frame.require(2, "process")
    var fields = frame.fields
    id = try fields.readUnsigned()
    description = try fields.readMapItem("a process description, a map")
    try frame.requireEnd(fields, after: 2)
  }
}

/// The end of a process, or of what it was before an exec.
public struct ExitFrame: Equatable, Sendable {
  public var process: UInt64

  public init(process: UInt64) { self.process = process }

  public init(_ frame: Frame) throws(WireError) {
    try frame.require(1, "exit")
    var fields = frame.fields
    process = try fields.readUnsigned()
    try frame.requireEnd(fields, after: 1)
  }

  public func append(to output: inout ByteBuffer) {
    output.appendFrame(.exit, fields: 1) { $0.appendUnsigned(process) }
  }
}

/// The side of a connection on which a flow's process is.
public enum Role: String, Sendable {
  case client
  case server
  case unknown
}

/// One end of a connection.
public enum Address: Equatable, Sendable {
  /// An IP address as RFC 5952 writes it, and a port.
  case ip(String, port: UInt16)
  /// A unix socket's path; an abstract name begins with a NUL. Empty where it has none.
  case unix([UInt8])
}

/// Describes a flow: one connection as one process holds it.
public struct FlowFrame: Equatable, Sendable {
  public var id: UInt64
  /// The process that holds it, if known.
  public var process: UInt64?
  /// `tcp` or `unix`.
  public var transport: String
  public var local: Address
  public var remote: Address
  public var role: Role
  /// Whether the connection was open before the capture, so that its first bytes may be missing without a gap.
  public var isPreexisting: Bool
  /// When it was opened, if that was seen: nanoseconds of the capture's monotonic clock.
  public var opened: UInt64?
  /// The process at the other end of a unix socket, as SO_PEERCRED tells it, if known.
  public var peerPID: UInt64?
  /// Whether calls of several threads overlapped: all bytes are counted, but from here on their order is not certain.
  public var isInterleaved: Bool
  /// The flow of the other end, where the capture holds both.
  public var peerFlow: UInt64?
  /// The process at the other end of the connection, where it is on the same machine and known.
  public var peerProcess: UInt64?
  /// What the addresses are called, where the capture knows it without asking anybody.
  public var localName: String?
  public var remoteName: String?

  public init(
    id: UInt64, process: UInt64?, transport: String, local: Address, remote: Address, role: Role, isPreexisting: Bool,
    opened: UInt64? = nil, peerPID: UInt64? = nil, isInterleaved: Bool = false, peerFlow: UInt64? = nil,
    peerProcess: UInt64? = nil
  ) {
    self.id = id
    self.process = process
    self.transport = transport
    self.local = local
    self.remote = remote
    self.role = role
    self.isPreexisting = isPreexisting
    self.opened = opened
    self.peerPID = peerPID
    self.isInterleaved = isInterleaved
    self.peerFlow = peerFlow
    self.peerProcess = peerProcess
    localName = nil
    remoteName = nil
  }

  public init(_ frame: Frame) throws(WireError) {
    try frame.require(3, "flow")
    var fields = frame.fields
    id = try fields.readUnsigned()
    process = fields.readNullIfPresent() ? nil : try fields.readUnsigned()
    transport = ""
    local = .unix([])
    remote = .unix([])
    role = .unknown
    isPreexisting = false
    isInterleaved = false
    for _ in 0..<(try fields.readMapHead()) {
      switch try fields.readText() {
      case "transport": transport = try fields.readText()
      case "local": local = try fields.readAddress()
      case "remote": remote = try fields.readAddress()
      case "role": role = Role(rawValue: try fields.readText()) ?? .unknown
      case "preexisting": isPreexisting = try fields.readBool()
      case "opened": opened = try fields.readUnsigned()
      case "peer_pid": peerPID = try fields.readUnsigned()
      case "interleaved": isInterleaved = try fields.readBool()
      case "peer_flow": peerFlow = try fields.readUnsigned()
      case "peer_process": peerProcess = try fields.readUnsigned()
      case "local_name": localName = try fields.readText()
      case "remote_name": remoteName = try fields.readText()
      default: _ = try fields.readItem()
      }
    }
    try frame.requireEnd(fields, after: 3)
  }

  public func append(to output: inout ByteBuffer) {
    output.appendFrame(.flow, fields: 3) { output in
      output.appendUnsigned(id)
      if let process { output.appendUnsigned(process) } else { output.appendNull() }
      let extras = [
        isPreexisting, opened != nil, peerPID != nil, isInterleaved, peerFlow != nil, peerProcess != nil,
        localName != nil, remoteName != nil,
      ].count { $0 }
      output.appendMapHead(4 + extras)
      output.appendText("transport" as StaticString)
      output.appendText(transport)
      output.appendText("local" as StaticString)
      output.appendAddress(local)
      output.appendText("remote" as StaticString)
      output.appendAddress(remote)
      output.appendText("role" as StaticString)
      output.appendText(role.rawValue)
      if isPreexisting {
        output.appendText("preexisting" as StaticString)
        output.appendBool(true)
      }
      if let opened {
        output.appendText("opened" as StaticString)
        output.appendUnsigned(opened)
      }
      if let peerPID {
        output.appendText("peer_pid" as StaticString)
        output.appendUnsigned(peerPID)
      }
      if isInterleaved {
        output.appendText("interleaved" as StaticString)
        output.appendBool(true)
      }
      if let peerFlow {
        output.appendText("peer_flow" as StaticString)
        output.appendUnsigned(peerFlow)
      }
      if let peerProcess {
        output.appendText("peer_process" as StaticString)
        output.appendUnsigned(peerProcess)
      }
      if let localName {
        output.appendText("local_name" as StaticString)
        output.appendText(localName)
      }
      if let remoteName {
        output.appendText("remote_name" as StaticString)
        output.appendText(remoteName)
      }
    }
  }
}

extension CBORReader {
  mutating func readAddress() throws(WireError) -> Address {
    let start = offset
    guard try peekHead().major == .array else { return .unix(Array(try readString())) }
    guard try readArrayHead() == 2 else {
      throw WireError(offset: start, expected: "an address [host, port]", found: "another array")
    }
    let host = try readText()
    let portOffset = offset
    let port = try readUnsigned()
    guard let port = UInt16(exactly: port) else {
      throw WireError(offset: portOffset, expected: "a port below 65536", found: "\(port)")
    }
    return .ip(host, port: port)
  }

  /// The next item, which must be a map (RFC 8949, major type 5).
  mutating func readMapItem(_ expected: String) throws(WireError) -> UnsafeRawBufferPointer {
    let start = offset
    let head = try peekHead()
    guard head.major == .map else {
      throw WireError(offset: start, expected: expected, found: CBORReader.describe(head))
    }
    return try readItem()
  }
}

extension ByteBuffer {
  mutating func appendAddress(_ address: Address) {
    switch address {
    case .ip(let host, let port):
      appendArrayHead(2)
      appendText(host)
      appendUnsigned(UInt64(port))
    case .unix(let path):
      appendString(path)
    }
  }
}
