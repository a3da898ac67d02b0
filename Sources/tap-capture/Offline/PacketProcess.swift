// A process as ptcpdump's packet comments tell it: lines of `name: value`.
import TapWire

/// What a comment says of the process behind a packet.
///
/// The names are those of ptcpdump (internal/writer/pcapng.go there): `PID`, `Cmd` (earlier `Command`), `Args`,
/// `ParentPID`, `ParentCmd`, `UserId`, `ContainerName`, `ContainerId`, `ContainerImage`, `PodName`, `PodNamespace`.
struct PacketProcess: Hashable {
  private(set) var pid: UInt64 = 0
  /// Paths of executables, without the dots that ptcpdump puts behind one that it cut.
  private(set) var exe: Substring = ""
  private(set) var isExeCut = false
  private(set) var arguments: Substring = ""
  private(set) var areArgumentsCut = false
  private(set) var parent: UInt64?
  private(set) var parentExe: Substring = ""
  private(set) var uid: UInt64?
  private(set) var container = Container()

  struct Container: Hashable {
    var id: Substring = ""
    var name: Substring = ""
    var image: Substring = ""
    var pod: Substring = ""
    var namespace: Substring = ""
  }

  /// Nil where the comment names no process.
  init?(comment: [UInt8]) {
    for line in String(decoding: comment, as: UTF8.self).split(separator: "\n") {
      guard let colon = line.firstIndex(of: ":") else { continue }
      let value = line[line.index(after: colon)...].drop { $0 == " " }
      switch line[..<colon] {
      case "PID": pid = UInt64(value) ?? 0
      case "Cmd", "Command": (exe, isExeCut) = PacketProcess.withoutDots(value)
      case "Args": (arguments, areArgumentsCut) = PacketProcess.withoutDots(value)
      case "ParentPID": parent = UInt64(value)
      case "ParentCmd": parentExe = PacketProcess.withoutDots(value).text
      case "UserId": uid = UInt64(value)
      case "ContainerId": container.id = value
      case "ContainerName": container.name = value
      case "ContainerImage": container.image = value
      case "PodName": container.pod = value
      case "PodNamespace": container.namespace = value
      default: break
      }
    }
    guard pid > 0 else { return nil }
  }

  private static func withoutDots(_ text: Substring) -> (text: Substring, isCut: Bool) {
    text.hasSuffix("...") ? (text.dropLast(3), true) : (text, false)
  }

  /// The end of a path, as far as a kernel keeps it as the name of a process.
  private static func comm(_ exe: Substring) -> Substring {
    let name = exe.lastIndex(of: "/").map { exe[exe.index(after: $0)...] } ?? exe
    return name.utf8.count <= 15 ? name : Substring(decoding: name.utf8.prefix(15), as: UTF8.self)
  }

  // MARK: The frame

  func append(to output: inout ByteBuffer, id: UInt64) {
    output.appendFrame(.process, fields: 2) { output in
      output.appendUnsigned(id)
      let optional = [
        parent != nil, !exe.isEmpty, !exe.isEmpty, isExeCut, !arguments.isEmpty, areArgumentsCut, uid != nil,
        container != Container(),
      ]
      output.appendMapHead(1 + optional.count { $0 })
      output.appendText("pid" as StaticString)
      output.appendUnsigned(pid)
      if let parent { appendParent(parent, to: &output) }
      if !exe.isEmpty {
        output.appendField("comm", PacketProcess.comm(exe))
        output.appendField("exe", exe)
      }
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
    let words = SecretMask.masking(arguments.split(separator: " ").map { Array($0.utf8) })
    output.appendText("command_line" as StaticString)
    output.appendArrayHead(words.count)
    for word in words { output.appendString(word) }
  }

  private func appendContainer(to output: inout ByteBuffer) {
    let members: [(name: StaticString, value: Substring)] = [
      ("id", container.id), ("name", container.name), ("image", container.image), ("pod", container.pod),
      ("namespace", container.namespace),
    ].filter { !$0.value.isEmpty }
    output.appendText("container" as StaticString)
    output.appendMapHead(members.count)
    for member in members { output.appendField(member.name, member.value) }
  }
}

extension ByteBuffer {
  fileprivate mutating func appendField(_ name: StaticString, _ value: Substring) {
    appendText(name)
    appendText(String(value))
  }

  fileprivate mutating func appendFlag(_ name: StaticString) {
    appendText(name)
    appendBool(true)
  }
}
