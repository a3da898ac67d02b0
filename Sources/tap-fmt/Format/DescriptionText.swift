// Renders a process or a connection once, for all the lines that will show it.
import TapWire

/// How a process description becomes text.
enum ProcessText {
  /// Descriptions beyond this many bytes of CBOR lose their largest members: they stand in every line of the process.
  static let maximumDescriptionBytes = 64 << 10
  /// What a member of such a description may take to be kept.
  private static let maximumMemberBytes = 2 << 10

  /// `,"process":{…}`: the wire's map as it is.
  static func json(_ description: UnsafeRawBufferPointer) throws(WireError) -> ByteBuffer {
    var text = ByteBuffer(capacityBytes: min(description.count, maximumDescriptionBytes) * 2 + 64)
    text.append(",\"process\":")
    var shapes = MapShapes()
    if description.count <= maximumDescriptionBytes {
      var reader = CBORReader(description, streamOffset: 0)
      try text.appendJSON(&reader, &shapes)
    } else {
      let short = try shortened(description)
      var reader = CBORReader(short.bytes, streamOffset: 0)
      try text.appendJSON(&reader, &shapes)
    }
    text.shrink(toCapacityBytes: text.count)
    return text
  }

  /// The description without its large members, and `members_omitted` with their number.
  private static func shortened(_ description: UnsafeRawBufferPointer) throws(WireError) -> ByteBuffer {
    var reader = CBORReader(description, streamOffset: 0)
    var members = ByteBuffer(capacityBytes: maximumDescriptionBytes)
    let pairs = try reader.readMapHead()
    var kept = 0
    for _ in 0..<pairs {
      let key = try reader.readItem()
      let value = try reader.readItem()
      let bytes = key.count + value.count
      if bytes <= maximumMemberBytes, members.count + bytes <= maximumDescriptionBytes {
        members.append(key)
        members.append(value)
        kept += 1
      }
    }
    var short = ByteBuffer(capacityBytes: members.count + 64)
    short.appendMapHead(kept + 1)
    short.append(members.bytes)
    short.appendText("members_omitted" as StaticString)
    short.appendUnsigned(UInt64(pairs - kept))
    return short
  }

  /// The name for people: `comm`, else the last part of `exe`, else the pid; empty where there is none of them.
  static func name(_ description: UnsafeRawBufferPointer) throws(WireError) -> ByteBuffer {
    var reader = CBORReader(description, streamOffset: 0)
    var comm: UnsafeRawBufferPointer?
    var exe: UnsafeRawBufferPointer?
    var pid: CBORReader?
    for _ in 0..<(try reader.readMapHead()) {
      let key = stringKey(try reader.readItem())
      let value = CBORReader(try reader.readItem(), streamOffset: 0)
      var content = value
      if key?.elementsEqual("comm".utf8) ?? false { comm = try? content.readString() }
      if key?.elementsEqual("exe".utf8) ?? false { exe = try? content.readString() }
      if key?.elementsEqual("pid".utf8) ?? false { pid = value }
    }
    var text = ByteBuffer(capacityBytes: 64)
    var budget = LineBudget(characters: PrettyLine.maximumNameCharacters)
    if let comm, !comm.isEmpty {
      text.appendVisible(comm, &budget)
    } else if let exe, !exe.isEmpty {
      let slash = exe.lastIndex(of: UInt8(ascii: "/"))
      text.appendVisible(UnsafeRawBufferPointer(rebasing: exe[(slash.map { $0 + 1 } ?? 0)...]), &budget)
    } else if var pid {
      try text.appendPretty(&pid, &budget)
    }
    text.shrink(toCapacityBytes: text.count)
    return text
  }
}

extension ConnectionFrame {
  /// A state beyond this many bytes of CBOR is not shown: it would stand in every line of the connection.
  private static var maximumStateBytes: Int { 4 << 10 }

  /// `,"connection":{…}`; nothing where no state is known.
  func jsonText() throws(WireError) -> ByteBuffer {
    var text = ByteBuffer(capacityBytes: 64)
    guard state.count > 1, state.count <= ConnectionFrame.maximumStateBytes else { return text }
    text.append(",\"connection\":")
    var reader = CBORReader(state, streamOffset: 0)
    var shapes = MapShapes()
    try text.appendJSON(&reader, &shapes)
    return text
  }
}

extension FlowFrame {
  /// `,"client":…,"server":…`; where the role is not known also `"local"` and `"remote"`; `"peer_pid"` where it is known.
  func jsonText() -> ByteBuffer {
    var text = ByteBuffer(capacityBytes: 128)
    switch role {
    case .client: text.appendEnds(client: local, server: remote)
    case .server: text.appendEnds(client: remote, server: local)
    case .unknown:
      text.append(",\"client\":null,\"server\":null,\"local\":")
      text.appendAddress(local)
      text.append(",\"remote\":")
      text.appendAddress(remote)
    }
    if let peerPID { text.append(",\"peer_pid\":\(peerPID)") }
    text.shrink(toCapacityBytes: text.count)
    return text
  }
}

extension ByteBuffer {
  /// Longer addresses are shown as null: a unix path has at most 108 bytes, an IP address 45 and a zone.
  private static var maximumAddressBytes: Int { 256 }

  fileprivate mutating func appendEnds(client: Address, server: Address) {
    append(",\"client\":")
    appendAddress(client)
    append(",\"server\":")
    appendAddress(server)
  }

  /// `"127.0.0.1:6379"`, `"[::1]:6379"`, a unix path, `@name` for an abstract one (as ss(8) writes it), null for none.
  fileprivate mutating func appendAddress(_ address: Address) {
    var text: [UInt8]
    switch address {
    case .ip(let host, let port):
      text = Array((host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)").utf8)
    case .unix(let path):
      text = path
      if text.first == 0 { text[0] = UInt8(ascii: "@") }
    }
    guard !text.isEmpty, text.count <= ByteBuffer.maximumAddressBytes else { return append("null") }
    text.withUnsafeBytes { appendJSONString($0) }
  }
}
