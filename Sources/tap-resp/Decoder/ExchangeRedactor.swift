// Rewrites an exchange with everything replaced that --redact and --hash-keys hide: in doubt it is hidden.
import TapWire

/// The maps of an exchange without what is hidden; reused for one after the other.
struct ExchangeRedactor: ~Copyable {
  private let redaction: Redaction
  private var request = ByteBuffer(capacityBytes: 256)
  private var response = ByteBuffer(capacityBytes: 256)
  private var annotations = ByteBuffer(capacityBytes: 256)

  init(_ redaction: Redaction) { self.redaction = redaction }

  /// The exchange without what is hidden. Its maps are valid until `removeAll`.
  mutating func redacted(_ exchange: ExchangeFilter.Candidate) -> ExchangeFilter.Candidate {
    var exchange = exchange
    let answer = exchange.response.flatMap { Subscriptions.value(of: $0)?.type }
    let isError = answer == "error" || answer == "bulk_error"
    let map = exchange.request.flatMap { RequestMap($0) }
    let command = map.map { RedactedCommand($0, exchange.flags, isError: isError) }
    if map == nil {
      // Nobody knows what it is: not let out at all.
      exchange.request = nil
      exchange.annotations = nil
    }
    if let map, let command {
      // Only what a server has taken for a command is the name of one.
      let isUnderstood =
        answer != nil && !isError && exchange.flags.isDisjoint(with: [.unvouched, .gap, .malformed, .cut])
      appendRequest(map, command, isNameShown: command.isKnown || isUnderstood)
      exchange.request = request.bytes
      if redaction.hidesKeys {
        let told = exchange.annotations.flatMap { CommandClass(annotations: $0) }
        appendAnnotations(told ?? .unknown, map, command)
        exchange.annotations = annotations.bytes
      }
    }
    if let map = exchange.response {
      let isHidden =
        redaction.parts.contains(.values) || command?.isPlain != true || exchange.flags.contains(.unvouched)
        || redaction.hidesKeys && command?.repliesWithKeys != false
      if isHidden {
        appendResponse(map, isError: isError)
        exchange.response = response.bytes
      }
    }
    exchange.flags.insert(.redacted)
    return exchange
  }

  /// Forgets what was written, and gives memory beyond `keptBytes` back.
  mutating func removeAll(keepingBytes keptBytes: Int) {
    request.removeAll()
    request.shrink(toCapacityBytes: keptBytes)
    response.removeAll()
    response.shrink(toCapacityBytes: keptBytes)
    annotations.removeAll()
    annotations.shrink(toCapacityBytes: keptBytes)
  }

  // MARK: The command

  private mutating func appendRequest(_ map: RequestMap, _ command: RedactedCommand, isNameShown: Bool) {
    request.appendMapHead(2)
    request.appendText("command" as StaticString)
    if isNameShown { request.append(map.name) } else { request.appendText(Secrets.mask) }
    request.appendText("args" as StaticString)
    let head = request.count
    request.appendArrayHead(map.fullArgumentCount)
    var reader = map.arguments
    var stored = 0
    // What stands for an argument may be longer than it: all of it together only within half of what an exchange may hold.
    let limit = max(map.arguments.rest.count, RESPLimits.exchangeBytes / 2)
    while stored < map.argumentCount, request.count < limit, let item = try? reader.readItem() {
      stored += 1
      if stored < command.areKeys.count, command.areKeys[stored] {
        redaction.append(key: item, to: &request)
      } else if stored == 1 && command.hasSubcommand || command.isPlain && !redaction.hidesArguments {
        request.append(item)
      } else {
        request.appendHidden(item)
      }
    }
    if stored < map.fullArgumentCount {
      request.replaceArrayHead(at: head, full: Int64(map.fullArgumentCount), stored: Int64(stored))
    }
  }

  /// Keys that nobody can be sure of are not even counted.
  private mutating func appendAnnotations(
    _ commandClass: CommandClass, _ map: RequestMap, _ command: RedactedCommand
  ) {
    let shown = redaction.keyHash == nil ? [] : command.keys.filter { $0 <= map.argumentCount }
    annotations.appendAnnotations(commandClass, keys: shown.count, of: command.keyCount)
    var arguments = RequestArguments(map)
    for position in shown {
      guard let item = arguments.item(position) else { continue }
      redaction.append(key: item, to: &annotations)
    }
  }

  // MARK: The reply

  /// Types, lengths, nulls and the words that servers answer with stay.
  private mutating func appendResponse(_ map: UnsafeRawBufferPointer, isError: Bool) {
    var reader = CBORReader(map, streamOffset: 0)
    guard let pairs = try? reader.readMapHead() else { return response.appendMapHead(0) }
    response.appendMapHead(pairs)
    var type = ""
    for _ in 0..<pairs {
      // Well-formed, since it was written here.
      guard let name = try? reader.readText(), let item = try? reader.readItem() else { return }
      response.appendText(name)
      switch name {
      case "response_type":
        type = RequestMap.string(item).map { String(decoding: $0, as: UTF8.self) } ?? ""
        response.append(item)
      case "response_format": response.append(item)
      case "response_value" where isError: response.appendText(KnownAnswers.error(item))
      case "response_value" where type == "simple_string" && KnownAnswers.isStatus(item): response.append(item)
      // As text, whose length would tell more of a number than that of a string does.
      case "response_value" where ExchangeRedactor.scalars.contains(type): response.appendText(Secrets.mask)
      default: response.appendHidden(item)
      }
    }
  }

  private static let scalars: Set<String> = ["integer", "double", "boolean", "big_number"]
}

extension ByteBuffer {
  /// Writes what tells of a value how long it is, and nothing else: of a string its bytes, of an aggregate its elements.
  mutating func appendHidden(_ item: UnsafeRawBufferPointer) {
    var reader = CBORReader(item, streamOffset: 0)
    guard var head = try? reader.readHead() else { return appendNull() }
    // A set, a push, a simple string: what is inside. Of a cut value the full length is there.
    var fullLength: UInt64?
    while head.major == .tag {
      if head.argument == WireTag.cut {
        guard (try? reader.readArrayHead()) != nil, let length = try? reader.readUnsigned() else { return appendNull() }
        fullLength = length
      }
      guard let next = try? reader.readHead() else { return appendNull() }
      head = next
    }
    switch head.major {
    case .byteString, .textString:
      if let text = RequestMap.string(item), text.elementsEqual("\(Secrets.mask)".utf8) { return append(item) }
      appendCutHead(fullLength ?? head.argument)
      appendHead(.textString, 0)
    case .array, .map:
      appendCutHead(fullLength ?? head.argument)
      appendHead(head.major, 0)
    case .simple where head.additional == 22: append(item)
    default: appendText(Secrets.mask)
    }
  }

  private mutating func appendCutHead(_ fullLength: UInt64) {
    appendTag(WireTag.cut)
    appendArrayHead(2)
    appendUnsigned(fullLength)
  }
}

/// What servers answer of their own accord: words that hold nothing of anybody's data.
private enum KnownAnswers {
  /// Also the types that TYPE answers with.
  private static let statuses: Set<String> = [
    "OK", "PONG", "QUEUED", "RESET", "NOKEY", "string", "list", "set", "zset", "hash", "stream", "none",
  ]

  /// The first words of errors in the sources of Redis, Valkey, Sentinel and the cluster.
  private static let errors: Set<String> = [
    "ERR", "WRONGTYPE", "NOAUTH", "WRONGPASS", "NOPERM", "NOSCRIPT", "BUSY", "BUSYKEY", "BUSYGROUP", "NOGROUP",
    "LOADING",
    "MASTERDOWN", "MISCONF", "READONLY", "NOREPLICAS", "OOM", "EXECABORT", "MOVED", "ASK", "CROSSSLOT", "TRYAGAIN",
    "CLUSTERDOWN", "NOPROTO", "UNKILLABLE", "NOTBUSY", "INPROG", "NOGOODSLAVE", "NOQUORUM", "IOERR", "NOMASTERLINK",
    "UNBLOCKED", "DENIED", "NOTREADY", "REDIRECT", "NOSUB",
  ]

  static func isStatus(_ item: UnsafeRawBufferPointer) -> Bool {
    guard let text = RequestMap.string(item), text.count <= 8 else { return false }
    return statuses.contains(String(decoding: text, as: UTF8.self))
  }

  /// An error's code, where it is a known one: errors repeat arguments, and scripts make them from whatever they like.
  static func error(_ item: UnsafeRawBufferPointer) -> String {
    guard let text = RequestMap.string(item) else { return "\(Secrets.mask)" }
    let code = String(decoding: text.prefix(16).prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self)
    return errors.contains(code) ? "\(code) \(Secrets.mask)" : "\(Secrets.mask)"
  }
}
