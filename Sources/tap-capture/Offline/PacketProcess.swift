// A process as packet comments tell it: lines of `name: value`.
import TapWire

/// What a comment says of the process behind a packet.
///
/// The names are those of ptcpdump (internal/writer/pcapng.go there): `PID`, `Cmd` (earlier `Command`), `Args`,
/// `ParentPID`, `ParentCmd`, `UserId`, `ContainerName`, `ContainerId`, `ContainerImage`, `PodName`, `PodNamespace`.
struct PacketProcess: Hashable {
  typealias Text = ArraySlice<UInt8>

  private(set) var pid: UInt64 = 0
  /// Paths of executables, without the dots that ptcpdump puts behind one that it cut.
  private(set) var exe: Text = []
  private(set) var isExeCut = false
  private(set) var arguments: Text = []
  private(set) var areArgumentsCut = false
  private(set) var parent: UInt64?
  private(set) var parentExe: Text = []
  /// Of a file of macOS, where it is all there is of the name.
  private(set) var comm: Text = []
  private(set) var uid: UInt64?
  private(set) var container = Container()

  struct Container: Hashable {
    var id: Text = []
    var name: Text = []
    var image: Text = []
    var pod: Text = []
    var namespace: Text = []
  }

  /// Nil where the comment names no process.
  init?(comment: [UInt8]) {
    for line in comment.split(separator: UInt8(ascii: "\n")) {
      guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon - line.startIndex < 32 else { continue }
      let value = line[(colon + 1)...].drop { $0 == UInt8(ascii: " ") }
      switch String(decoding: line[..<colon], as: UTF8.self) {
      case "PID": pid = PacketProcess.number(value) ?? 0
      case "Cmd", "Command": (exe, isExeCut) = PacketProcess.withoutDots(value)
      case "Comm": comm = value
      case "Args": (arguments, areArgumentsCut) = PacketProcess.withoutDots(value)
      case "ParentPID": parent = PacketProcess.number(value)
      case "ParentCmd", "ParentCommand": parentExe = PacketProcess.withoutDots(value).text
      case "UserId": uid = PacketProcess.number(value)
      case "ContainerId": container.id = value
      case "ContainerName": container.name = value
      case "ContainerImage": container.image = value
      case "PodName": container.pod = value
      case "PodNamespace": container.namespace = value
      default: break
      }
    }
    if comm.isEmpty { comm = PacketProcess.comm(exe) }
    guard pid > 0 else { return nil }
  }

  private static func number(_ text: Text) -> UInt64? {
    text.count < 24 ? UInt64(String(decoding: text, as: UTF8.self)) : nil
  }

  private static func withoutDots(_ text: Text) -> (text: Text, isCut: Bool) {
    text.suffix(3).elementsEqual("...".utf8) ? (text.dropLast(3), true) : (text, false)
  }

  /// The end of a path, as far as a kernel keeps it as the name of a process.
  private static func comm(_ exe: Text) -> Text {
    let name = exe.lastIndex(of: UInt8(ascii: "/")).map { exe[($0 + 1)...] } ?? exe
    return name.prefix(15)
  }

  // MARK: The frame

  func append(to output: inout ByteBuffer, id: UInt64) {
    output.appendFrame(.process, fields: 2) { output in
      output.appendUnsigned(id)
      let optional = [
        parent != nil, !comm.isEmpty, !exe.isEmpty, isExeCut, !arguments.isEmpty, areArgumentsCut, uid != nil,
        container != Container(),
      ]
      output.appendMapHead(1 + optional.count { $0 })
      output.appendText("pid" as StaticString)
      output.appendUnsigned(pid)
      if let parent { appendParent(parent, to: &output) }
      if !comm.isEmpty { output.appendField("comm", comm) }
      if !exe.isEmpty { output.appendField("exe", exe) }
      if isExeCut { output.appendFlag("exe_cut") }
      if !arguments.isEmpty { appendCommandLine(to: &output) }
      if areArgumentsCut { output.appendFlag("command_line_cut") }
      if let uid {
        output.appendText("uid" as StaticString)
        output.appendUnsigned(uid)
      }
      if container != Container() { appendContainer(to: &output) }
    }
  }

  private func appendParent(_ parent: UInt64, to output: inout ByteBuffer) {
    output.appendText("parent" as StaticString)
    output.appendMapHead(parentExe.isEmpty ? 1 : 2)
    output.appendText("pid" as StaticString)
    output.appendUnsigned(parent)
    if !parentExe.isEmpty { output.appendField("comm", PacketProcess.comm(parentExe)) }
  }

  /// ptcpdump writes the arguments with a space between them: one that holds a space comes out as several.
  private func appendCommandLine(to output: inout ByteBuffer) {
    let words = SecretMask.masking(arguments.split(separator: UInt8(ascii: " ")).map { Array($0) })
    output.appendText("command_line" as StaticString)
    output.appendArrayHead(words.count)
    for word in words { output.appendString(word) }
  }

  private func appendContainer(to output: inout ByteBuffer) {
    let members: [(name: StaticString, value: Text)] = [
      ("id", container.id), ("name", container.name), ("image", container.image), ("pod", container.pod),
      ("namespace", container.namespace),
    ].filter { !$0.value.isEmpty }
    output.appendText("container" as StaticString)
    output.appendMapHead(members.count)
    for member in members { output.appendField(member.name, member.value) }
  }
}

extension ByteBuffer {
  fileprivate mutating func appendField(_ name: StaticString, _ value: PacketProcess.Text) {
    appendText(name)
    appendString(Array(value))
  }

  fileprivate mutating func appendFlag(_ name: StaticString) {
    appendText(name)
    appendBool(true)
  }
}
