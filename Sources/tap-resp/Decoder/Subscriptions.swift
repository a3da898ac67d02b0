// Pub/sub: commands with several replies, messages that answer nothing, and the mode that tells them apart.
import TapWire

/// What a connection is subscribed to, as its confirmations tell.
struct Subscriptions {
  /// A confirmation: `[kind, channel, number of subscriptions]`.
  struct Confirmation {
    enum Kind: Int {
      case channel
      case pattern
      case shard
    }
    var kind: Kind
    var isSubscription: Bool
    /// Nil where an UNSUBSCRIBE has found nothing to end.
    var channel: UnsafeRawBufferPointer?
    /// Of channels and patterns together; shard channels are counted apart.
    var total: Int64

    /// The command that is confirmed.
    var command: String {
      let prefix = kind == .channel ? "" : kind == .pattern ? "P" : "S"
      return prefix + (isSubscription ? "SUBSCRIBE" : "UNSUBSCRIBE")
    }

    /// Shard channels end by themselves when their slot moves to another node (redis 7): then nobody asked for it.
    var mayComeUnasked: Bool { kind == .shard && !isSubscription }
  }

  /// How many there are of each kind: channels and patterns together, as confirmations tell, and how many of these are
  /// patterns; nil where it is not known.
  private var total: Int64? = 0
  private var patterns: Int64? = 0
  private var shards: Int64? = 0
  /// Whether there ever were shard channels: the end of one may come unasked, and then that of none behind it.
  private(set) var hadShards = false
  private var joined: [UInt8] = []
  /// How many of the collected confirmations are in it.
  private var stored: Int32 = 0
  private(set) var collected: Int32 = 0
  private(set) var firstByte: UInt64 = 0
  /// The last of them.
  private(set) var latest: WaitingReply?
  /// Whether messages come as pushes (RESP3): then no array is one.
  var usesPushes = false
  /// Whether the client subscribed while CLIENT REPLY was OFF: redis 7 confirms that all the same, before it not.
  var areSilent = false
  /// How many confirmations the command in progress has; nil where only what follows tells.
  private(set) var expected: Int32?

  /// Whether the connection is known to be in RESP2's subscribed mode, or to get pushes in RESP3.
  var isActive: Bool { (total ?? 0) + (shards ?? 0) > 0 }
  /// Whether it is known what it is subscribed to.
  var areKnown: Bool { total != nil && shards != nil }

  /// The confirmation in a response map, if it is one: an array or a push that begins with one of six words.
  static func confirmation(_ response: UnsafeRawBufferPointer) -> Confirmation? {
    guard let array = elements(of: response), array.count == 3 else { return nil }
    var reader = array.reader
    guard let word = try? reader.readText() else { return nil }
    let kind: Confirmation.Kind
    switch word {
    case "subscribe", "unsubscribe": kind = .channel
    case "psubscribe", "punsubscribe": kind = .pattern
    case "ssubscribe", "sunsubscribe": kind = .shard
    default: return nil
    }
    guard let item = try? reader.readItem(), let total = try? reader.readInteger() else { return nil }
    return Confirmation(
      kind: kind, isSubscription: !word.contains("unsub"), channel: RequestMap.string(item), total: total)
  }

  /// Whether a response is a message of RESP2's subscribed mode.
  static func isMessage(_ response: UnsafeRawBufferPointer) -> Bool {
    guard let array = elements(of: response) else { return false }
    var reader = array.reader
    guard let word = try? reader.readText() else { return false }
    return (word == "message" || word == "smessage") && array.count == 3 || word == "pmessage" && array.count == 4
  }

  /// Whether a response is a line of MONITOR.
  static func isMonitorLine(_ response: UnsafeRawBufferPointer) -> Bool {
    guard var reader = value(of: response, type: "simple_string") else { return false }
    // Also of a line that is longer than lines are kept.
    reader.skipCutMark()
    guard let text = try? reader.readString() else { return false }
    return MonitorLine.wordsStart(text) != nil
  }

  static func isSimpleString(_ expected: StaticString, _ response: UnsafeRawBufferPointer) -> Bool {
    guard let text = simpleString(response) else { return false }
    return text.elementsEqual(UnsafeBufferPointer(start: expected.utf8Start, count: expected.utf8CodeUnitCount))
  }

  /// The type of a response, and a reader that stands before its value.
  static func value(of response: UnsafeRawBufferPointer) -> (type: String, value: CBORReader)? {
    var reader = CBORReader(response, streamOffset: 0)
    guard let pairs = try? reader.readMapHead() else { return nil }
    var type = ""
    for _ in 0..<pairs {
      guard let key = try? reader.readText() else { return nil }
      if key == "response_value" { return (type, reader) }
      if key == "response_type" {
        guard let text = try? reader.readText() else { return nil }
        type = text
      } else if (try? reader.readItem()) == nil {
        return nil
      }
    }
    return nil
  }

  /// The value of a response of this type, and nothing else; nil for any other.
  static func value(of response: UnsafeRawBufferPointer, type: StaticString) -> CBORReader? {
    guard let found = value(of: response), found.type == "\(type)" else { return nil }
    return found.value
  }

  static func isMap(_ response: UnsafeRawBufferPointer) -> Bool { value(of: response)?.type == "map" }

  static func simpleString(_ response: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
    guard let found = value(of: response), found.type == "simple_string" else { return nil }
    var reader = found.value
    return try? reader.readString()
  }

  private static func elements(of response: UnsafeRawBufferPointer) -> (reader: CBORReader, count: Int)? {
    guard let found = value(of: response), found.type == "array" || found.type == "push" else { return nil }
    var reader = found.value
    guard let count = try? reader.readArrayHead() else { return nil }
    return (reader, count)
  }

  // MARK: Counting

  /// How many there are of the kind that an UNSUBSCRIBE without arguments ends; nil where that is not known.
  func count(endedBy command: String?) -> Int64? {
    switch command {
    case "PUNSUBSCRIBE": return patterns
    case "SUNSUBSCRIBE": return shards
    default: return total.flatMap { total in patterns.map { total - $0 } }
    }
  }

  /// How many there are is not known any more.
  mutating func forgetCounts() {
    total = nil
    patterns = nil
    shards = nil
  }

  /// A confirmation tells how many there are; where it may be another connection's state (`isCertain`), nothing.
  mutating func note(_ confirmation: Confirmation, isCertain: Bool) {
    guard isCertain else { return forgetCounts() }
    let count = max(0, confirmation.total)
    if confirmation.kind == .shard { hadShards = true }
    switch confirmation.kind {
    case .shard:
      shards = count
    case .channel:
      total = count
      // None is left, or only that which has just come.
      if count == (confirmation.isSubscription ? 1 : 0) { patterns = 0 }
    case .pattern:
      if let total, let patterns { self.patterns = max(0, patterns + count - total) }
      if count == (confirmation.isSubscription ? 1 : 0) { patterns = count }
      total = count
    }
  }

  // MARK: Collecting

  /// A command's first confirmation tells how many it has: one for each argument, and where it has none, one for each
  /// subscription of its kind, or one with a null channel.
  mutating func expect(_ request: PendingRequest, first: Confirmation) {
    if request.confirmations > 0 {
      expected = request.confirmations
    } else if first.channel == nil || first.total <= 0 {
      expected = 1
    } else if first.kind == .shard {
      expected = Int32(clamping: first.total + 1)
    } else {
      let left = first.kind == .channel ? patterns : total.flatMap { total in patterns.map { total - $0 } }
      expected = left.map { Int32(clamping: first.total - $0 + 1) }
    }
  }

  mutating func collect(_ response: UnsafeRawBufferPointer, _ reply: WaitingReply) {
    if collected == 0 { firstByte = reply.firstByte }
    latest = reply
    guard var item = Subscriptions.value(of: response)?.value, let value = try? item.readItem() else { return }
    collected += 1
    // The last one says how many subscriptions there are: it is followed all the same.
    guard stored == collected - 1, joined.count + value.count <= RESPLimits.exchangeBytes / 2 else { return }
    joined += value
    stored += 1
  }

  /// All confirmations as one response, an array of them.
  mutating func takeCollected() -> ByteBuffer {
    var response = ByteBuffer(capacityBytes: joined.count + 64)
    response.appendMapHead(2)
    response.appendText("response_type" as StaticString)
    response.appendText("array" as StaticString)
    response.appendText("response_value" as StaticString)
    let head = response.count
    response.appendHead(.array, UInt64(collected))
    if stored < collected {
      response.replaceArrayHead(at: head, full: Int64(collected), stored: Int64(stored))
    }
    joined.withUnsafeBytes { response.append($0) }
    forgetConfirmations()
    return response
  }

  /// Whether some of the confirmations that were collected are not kept.
  var isCut: Bool { stored < collected }
  var heldBytes: Int { joined.count }

  mutating func forgetConfirmations() {
    joined = []
    stored = 0
    collected = 0
    latest = nil
  }
}
