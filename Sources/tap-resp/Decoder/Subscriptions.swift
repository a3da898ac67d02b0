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
    /// Of channels and patterns together; shard channels are counted apart.
    var total: Int64
  }

  /// How many there are of each kind.
  private var counts: (channels: Int64, patterns: Int64, shards: Int64) = (0, 0, 0)
  private var joined: [UInt8] = []
  /// How many of the collected confirmations are in it.
  private var stored: Int32 = 0
  private(set) var collected: Int32 = 0
  private(set) var firstByte: UInt64 = 0
  /// Whether messages come as pushes (RESP3): then no array is one.
  var usesPushes = false
  /// Whether the client subscribed while CLIENT REPLY was OFF: redis 7 confirms that all the same, before it not.
  var areSilent = false
  /// How many confirmations the command in progress has, where only its beginning tells.
  private var expectedOfAll: Int32 = 0

  /// Whether the connection is in RESP2's subscribed mode, or gets pushes in RESP3.
  var isActive: Bool { counts.channels + counts.patterns + counts.shards > 0 }

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
    guard (try? reader.readItem()) != nil, let total = try? reader.readInteger() else { return nil }
    return Confirmation(kind: kind, isSubscription: !word.contains("unsub"), total: total)
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

  /// How many confirmations a command is answered with. Only an UNSUBSCRIBE without arguments leaves that to the state:
  /// one for each subscription of its kind, or one with a null channel where there is none.
  mutating func expected(by request: PendingRequest, first: Confirmation) -> Int32 {
    if request.confirmations > 0 { return request.confirmations }
    if collected == 0 { expectedOfAll = Int32(clamping: max(1, count(of: first.kind))) }
    return expectedOfAll
  }

  /// How many there are of a kind.
  func count(of kind: Confirmation.Kind) -> Int64 {
    switch kind {
    case .channel: return counts.channels
    case .pattern: return counts.patterns
    case .shard: return counts.shards
    }
  }

  /// A confirmation's total counts channels and patterns together: what it differs by is of its own kind.
  mutating func note(_ confirmation: Confirmation) {
    switch confirmation.kind {
    case .channel: counts.channels = max(0, confirmation.total - counts.patterns)
    case .pattern: counts.patterns = max(0, confirmation.total - counts.channels)
    case .shard: counts.shards = max(0, confirmation.total)
    }
  }

  // MARK: Collecting

  mutating func collect(_ response: UnsafeRawBufferPointer, firstByte: UInt64) {
    if collected == 0 { self.firstByte = firstByte }
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
  }
}
