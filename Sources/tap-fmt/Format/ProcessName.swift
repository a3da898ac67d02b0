// What people call a process: its name, the script that it runs, the container that it runs in.
import TapWire

/// The parts of a process description of which its name is made.
struct ProcessName {
  private var comm = UnsafeRawBufferPointer(start: nil, count: 0)
  private var exe = UnsafeRawBufferPointer(start: nil, count: 0)
  private var pid: CBORReader?
  private var arguments: [UnsafeRawBufferPointer] = []
  private var pod = UnsafeRawBufferPointer(start: nil, count: 0)
  private var container = UnsafeRawBufferPointer(start: nil, count: 0)
  private var containerID = UnsafeRawBufferPointer(start: nil, count: 0)

  /// Arguments that are looked at for the name of a script.
  private static let maximumArguments = 16
  /// What `docker ps` shows of an id.
  private static let shortIDBytes = 12

  init(_ description: UnsafeRawBufferPointer) throws(WireError) {
    var reader = CBORReader(description, streamOffset: 0)
    for _ in 0..<(try reader.readMapHead()) {
      let key = stringKey(try reader.readItem())
      let value = CBORReader(try reader.readItem(), streamOffset: 0)
      guard let key else { continue }
      // A member that is not as expected is as good as none: the line is shown all the same.
      if key.elementsEqual("comm".utf8) { comm = ProcessName.string(value) ?? comm }
      if key.elementsEqual("exe".utf8) { exe = ProcessName.string(value) ?? exe }
      if key.elementsEqual("pid".utf8) { pid = value }
      if key.elementsEqual("command_line".utf8) { try? readArguments(value) }
      if key.elementsEqual("container".utf8) { try? readContainer(value) }
    }
  }

  private static func string(_ item: CBORReader) -> UnsafeRawBufferPointer? {
    var item = item
    return try? item.readString()
  }

  private mutating func readArguments(_ array: CBORReader) throws(WireError) {
    var array = array
    for _ in 0..<min(try array.readArrayHead(), ProcessName.maximumArguments) {
      arguments.append(try array.readString())
    }
  }

  private mutating func readContainer(_ map: CBORReader) throws(WireError) {
    var map = map
    for _ in 0..<(try map.readMapHead()) {
      let key = stringKey(try map.readItem())
      let value = CBORReader(try map.readItem(), streamOffset: 0)
      guard let key else { continue }
      if key.elementsEqual("pod".utf8) { pod = ProcessName.string(value) ?? pod }
      if key.elementsEqual("name".utf8) { container = ProcessName.string(value) ?? container }
      if key.elementsEqual("id".utf8) { containerID = ProcessName.string(value) ?? containerID }
    }
  }

  /// `redis-cli`, `python3 app.py`, `user-service/redis-cli`, `cart-7d9f/web/node server.js`; the pid where there is
  /// neither a name nor a program, and nothing where there is none of all that.
  func text() throws(WireError) -> ByteBuffer {
    var text = ByteBuffer(capacityBytes: 64)
    for part in [pod, container.isEmpty ? prefix(containerID, ProcessName.shortIDBytes) : container]
    where !part.isEmpty {
      text.appendName(part)
      text.append(UInt8(ascii: "/"))
    }
    if !comm.isEmpty {
      text.appendName(comm)
      if let script = script() {
        text.append(UInt8(ascii: " "))
        text.appendName(script)
      }
    } else if !exe.isEmpty {
      text.appendName(lastComponent(exe))
    } else if var pid {
      var budget = LineBudget(characters: PrettyLine.maximumNameCharacters)
      try text.appendPretty(&pid, &budget)
    }
    text.shrink(toCapacityBytes: text.count)
    return text
  }

  /// The file name of the script that an interpreter runs; nil where there is none, or where the process has its name.
  private func script() -> UnsafeRawBufferPointer? {
    guard let interpreter = Interpreter(program: lastComponent(exe.isEmpty ? comm : exe)),
      let script = interpreter.script(in: arguments)
    else { return nil }
    let name = lastComponent(script)
    // The kernel keeps 15 bytes of a name.
    return name.isEmpty || name.prefix(15).elementsEqual(comm) ? nil : name
  }
}

private func prefix(_ bytes: UnsafeRawBufferPointer, _ count: Int) -> UnsafeRawBufferPointer {
  UnsafeRawBufferPointer(rebasing: bytes.prefix(count))
}

private func lastComponent(_ path: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
  UnsafeRawBufferPointer(rebasing: path[(path.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0)...])
}

extension ByteBuffer {
  /// Text of a stranger: shown, never obeyed, and no longer than a name.
  fileprivate mutating func appendName(_ name: UnsafeRawBufferPointer) {
    var budget = LineBudget(characters: PrettyLine.maximumNameCharacters)
    if !appendVisible(name, &budget) { append("…") }
  }
}
