// Renders a process or a connection as JSON once, for all the lines that will show it.
import TapWire

/// How a process description becomes text.
enum ProcessText {
  /// Descriptions beyond this many bytes of CBOR lose their largest members: they stand in every line of the process.
  static let maximumDescriptionBytes = 64 << 10

  /// An object: the wire's map, with the members of its container beside the process's own.
  static func json(_ description: UnsafeRawBufferPointer, showsLabels: Bool) throws(WireError) -> ByteBuffer {
    var members = FlatMembers(isShortened: description.count > maximumDescriptionBytes, showsLabels: showsLabels)
    try members.add(description)
    let flat = members.map()
    var text = ByteBuffer(capacityBytes: flat.count * 2 + 64)
    var shapes = MapShapes()
    var reader = CBORReader(flat.bytes, streamOffset: 0)
    try text.appendJSON(&reader, &shapes)
    text.shrink(toCapacityBytes: text.count)
    return text
  }
}

/// The members of a process and of its container as one map, still in CBOR.
private struct FlatMembers: ~Copyable {
  /// What a member may take to be kept where the description is too long.
  private static let maximumMemberBytes = 2 << 10

  private let isShortened: Bool
  private let showsLabels: Bool
  private var members = ByteBuffer(capacityBytes: 512)
  private var count = 0
  private var omitted = 0

  init(isShortened: Bool, showsLabels: Bool) {
    self.isShortened = isShortened
    self.showsLabels = showsLabels
  }

  mutating func add(_ process: UnsafeRawBufferPointer) throws(WireError) {
    var reader = CBORReader(process, streamOffset: 0)
    for _ in 0..<(try reader.readMapHead()) {
      let key = try reader.readItem()
      let isMap = try reader.peekHead().major == .map
      let value = try reader.readItem()
      if isMap, stringKey(key)?.elementsEqual("container".utf8) ?? false {
        try addContainer(value)
      } else {
        add(key, value)
      }
    }
  }

  private mutating func addContainer(_ container: UnsafeRawBufferPointer) throws(WireError) {
    var reader = CBORReader(container, streamOffset: 0)
    for _ in 0..<(try reader.readMapHead()) {
      let key = try reader.readItem()
      let value = try reader.readItem()
      guard let name = stringKey(key) else {
        add(key, value)
        continue
      }
      let isLabels = name.elementsEqual("labels".utf8) || name.elementsEqual("labels_omitted".utf8)
      if isLabels, !showsLabels { continue }
      // What would be taken for the process's own has another name beside it.
      if name.elementsEqual("name".utf8) {
        add("container", value)
      } else if name.elementsEqual("id".utf8) {
        add("container_id", value)
      } else if name.elementsEqual("runtime".utf8) {
        add("container_runtime", value)
      } else {
        add(key, value)
      }
    }
  }

  private mutating func add(_ name: StaticString, _ value: UnsafeRawBufferPointer) {
    var key = ByteBuffer(capacityBytes: 32)
    key.appendText(name)
    add(key.bytes, value)
  }

  private mutating func add(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
    let bytes = key.count + value.count
    if isShortened,
      bytes > Self.maximumMemberBytes || members.count + bytes > ProcessText.maximumDescriptionBytes
    {
      omitted += 1
      return
    }
    members.append(key)
    members.append(value)
    count += 1
  }

  /// All of them, and `members_omitted` with the number of those that were too long.
  consuming func map() -> ByteBuffer {
    var map = ByteBuffer(capacityBytes: members.count + 64)
    map.appendMapHead(count + (omitted > 0 ? 1 : 0))
    map.append(members.bytes)
    if omitted > 0 {
      map.appendText("members_omitted" as StaticString)
      map.appendUnsigned(UInt64(omitted))
    }
    return map
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
    let isServer = role == .server
    text.appendAddressName(role == .unknown ? "local_name" : isServer ? "server_name" : "client_name", localName)
    text.appendAddressName(role == .unknown ? "remote_name" : isServer ? "client_name" : "server_name", remoteName)
    if let peerPID { text.append(",\"peer_pid\":\(peerPID)") }
    text.shrink(toCapacityBytes: text.count)
    return text
  }
}

extension ByteBuffer {
  /// Longer addresses are shown as null: a unix path has at most 108 bytes, an IP address 45 and a zone.
  private static var maximumAddressBytes: Int { 256 }

  /// Nothing where there is none, or where it is longer than a name can be (RFC 1035, 2.3.4; a container's have 1,024 bytes).
  fileprivate mutating func appendAddressName(_ member: StaticString, _ name: String?) {
    guard var name, !name.isEmpty, name.utf8.count <= 1024 else { return }
    append(",\"")
    append(member)
    append("\":")
    name.withUTF8 { appendJSONString(UnsafeRawBufferPointer($0)) }
  }

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
