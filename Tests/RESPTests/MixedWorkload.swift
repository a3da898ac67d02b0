// A client and a server that use everything which changes how replies meet their commands, and what each command was answered.
import Support

/// One connection: what is said on it and when, as a capture at the client sees it, and the truth about each command that has
/// an id. An id is a key, a channel or a text that occurs in one command only: `k17`.
struct MixedWorkload {
  /// A command with an id.
  struct Truth {
    var command: String
    /// Occurs in its reply, and in no other; nil where it has none.
    var mark: String?
    /// The length of the value that begins with the mark, where there is one.
    var valueLength: Int?
    /// It was queued: that is its reply where bytes of its transaction are missing.
    var isQueued = false
  }

  /// How the connection is used.
  struct Style {
    /// How long a command and its reply are under way.
    var roundTripMilliseconds: Int
    /// Replies are recorded before their requests.
    var isRecordedLate: Bool
    /// The server does not let the client use CLIENT REPLY.
    var refusesReplyMode: Bool
  }

  private struct Moment {
    var milliseconds: Int
    var isReply: Bool
    var bytes: [UInt8]
  }

  private let style: Style
  private(set) var truths: [Int: Truth] = [:]
  private var moments: [Moment] = []
  private var generator: SeededGenerator
  private var clock = 1
  private var serverClock = 0

  // What the server knows of the connection.
  private var usesRESP3 = false
  private var isMonitoring = false
  private var mode = Mode.on
  private var queue: [Queued]?
  private var channels: [[String]] = [[], [], []]

  private enum Mode { case on, off, skip, skipNext }
  /// A queued command: what it adds to EXEC's array, and what it does there.
  private struct Queued {
    var id: Int?
    var mark: String?
    var reply: (inout MixedWorkload) -> [UInt8]
  }

  init(_ style: Style, seed: UInt64) {
    self.style = style
    generator = SeededGenerator(seed: seed)
  }

  // MARK: The client

  /// Says about `count` commands, in one of the ways in which clients do, and stays silent at times.
  mutating func talk(_ count: Int) {
    var left = count
    while left > 0 {
      switch random(3) {
      case 0:
        // One at a time.
        for _ in 0..<min(left, 1 + random(4)) {
          say()
          clock = max(clock, serverClock + style.roundTripMilliseconds / 2) + 1 + random(10)
          left -= 1
        }
      case 1:
        // A pipeline.
        for _ in 0..<min(left, 2 + random(7)) {
          say()
          left -= 1
        }
        clock = max(clock, serverClock + style.roundTripMilliseconds / 2) + 1
      default:
        // Several tasks that share the connection: nobody waits for the others' replies.
        for _ in 0..<min(left, 2 + random(4)) {
          say()
          clock += 1 + random(250)
          left -= 1
        }
      }
      if random(4) == 0 { clock += 120 + random(300) }
    }
  }

  /// Leaves every mode.
  mutating func calmDown() {
    if queue != nil {
      queue = nil
      send(["DISCARD"], id: nil, "+OK\r\n")
    }
    if mode != .on {
      mode = .on
      send(["CLIENT", "REPLY", "ON"], id: nil, style.refusesReplyMode ? "-NOPERM no\r\n" : "+OK\r\n")
    }
    reset()
    clock = max(clock, serverClock + style.roundTripMilliseconds) + 1
  }

  /// Plain commands, one at a time, and a silence that is longer than any reply took.
  mutating func rest(_ count: Int) {
    sayPlainly(count)
    clock += 20_000
  }

  /// Plain commands, one at a time.
  mutating func sayPlainly(_ count: Int) {
    for _ in 0..<count {
      sayPlain(isQuick: true)
      clock = max(clock, serverClock + style.roundTripMilliseconds / 2) + 1
    }
  }

  /// Bytes that were sent so far in both directions.
  var position: [Int] {
    [false, true].map { isReply in moments.reduce(0) { $0 + ($1.isReply == isReply ? $1.bytes.count : 0) } }
  }

  private mutating func say() {
    if mode == .skipNext { mode = .skip } else if mode == .skip { mode = .on }
    speakUp()
    if queue != nil { return sayInTransaction() }
    if !usesRESP3, channels.contains(where: { !$0.isEmpty }) { return saySubscribed() }
    let isOn = mode == .on
    switch random(40) {
    case 0 where isOn, 1 where isOn:
      queue = []
      send(["MULTI"], id: nil, "+OK\r\n")
    case 2 where isOn, 3 where isOn, 4 where isOn: subscribe()
    case 5, 6: changeReplyMode()
    case 7 where isOn:
      usesRESP3.toggle()
      let fields = bulk("proto") + Array(":\(usesRESP3 ? 3 : 2)\r\n".utf8)
      send(["HELLO", usesRESP3 ? "3" : "2"], id: nil, Array((usesRESP3 ? "%1\r\n" : "*2\r\n").utf8) + fields)
    case 8 where isOn:
      // Who is a monitor already is not answered.
      send(["MONITOR"], id: nil, isMonitoring ? "" : "+OK\r\n")
      isMonitoring = true
    case 9 where isOn: reset()
    case 10 where isOn:
      let id = newID("ECHO", "k")
      send(["ECHO", "k\(id)"], id: id, bulk("k\(id)"), mark: "k\(id)")
    default: sayPlain()
    }
  }

  /// A command that may be queued, and what it is answered.
  private mutating func sayPlain(isQuick: Bool = false) {
    let (id, words, reply, service) = plain(mayBlock: !isQuick)
    send(words, id: id, reply, mark: truths[id]?.mark, service: isQuick ? 1 : service)
  }

  private mutating func plain(mayBlock: Bool) -> (id: Int, words: [String], reply: [UInt8], service: Int) {
    let null = usesRESP3 ? "_\r\n" : "$-1\r\n"
    let kind = random(mayBlock ? 11 : 9)
    let name = ["SET", "INCR", "LRANGE", "MGET", "LPUSH", "HGETALL", "GET", "GET", "GET", "BLPOP", "EVAL"][kind]
    let id = newID(name, "")
    let key = "k\(id)"
    let text = value(id)
    func isAbout(_ mark: String, _ length: Int? = nil) {
      truths[id]?.mark = mark
      truths[id]?.valueLength = length
    }
    isAbout("<\(id)>", text.utf8.count)
    switch name {
    case "SET":
      isAbout("simple_string OK")
      return (id, [name, key, text], Array("+OK\r\n".utf8), 0)
    case "INCR":
      isAbout("integer \(1_000_000 + id)")
      return (id, [name, key], Array(":\(1_000_000 + id)\r\n".utf8), 0)
    case "LRANGE": return (id, [name, key, "0", "-1"], Array("*2\r\n".utf8) + bulk(text) + bulk("end"), 0)
    case "MGET": return (id, [name, key, "x"], Array("*2\r\n".utf8) + bulk(text) + Array(null.utf8), 0)
    case "LPUSH":
      isAbout("WRONGTYPE \(id).")
      return (id, [name, key, text], Array("-WRONGTYPE \(id).\r\n".utf8), 0)
    case "HGETALL":
      let fields = bulk("field") + bulk(text)
      return (id, [name, key], Array((usesRESP3 ? "%1\r\n" : "*2\r\n").utf8) + fields, 0)
    case "BLPOP": return (id, [name, key, "0"], Array("*2\r\n".utf8) + bulk(key) + bulk(text), random(600))
    case "EVAL": return (id, [name, "return 1", "1", key], bulk(text), random(4) == 0 ? random(400) : 0)
    default: return (id, [name, key], bulk(text), 0)
    }
  }

  /// A value that is unique, and often looks like the protocol itself.
  private mutating func value(_ id: Int) -> String {
    let noise: String
    switch random(8) {
    case 0: noise = "*2\r\n$3\r\nGET\r\n$5\r\nfalse\r\n"
    case 1: noise = "$5\r\nfalse\r\n+OK\r\n:1\r\n"
    case 2: noise = String(repeating: "*1\r\n$4\r\nPING\r\n", count: 20)
    case 3: noise = String(repeating: "+PONG\r\n:7\r\n", count: 20)
    case 4: noise = ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n+QUEUED\r\n"
    case 5: noise = String(repeating: "x", count: random(5000))
    default: noise = ""
    }
    return "<\(id)>\(noise)</\(id)>"
  }

  // MARK: Modes

  private mutating func sayInTransaction() {
    switch random(6) {
    case 0:
      let queued = queue ?? []
      queue = nil
      guard random(6) > 0 else { return send(["EXEC"], id: nil, usesRESP3 ? "_\r\n" : "*-1\r\n") }
      var reply = Array("*\(queued.count)\r\n".utf8)
      for command in queued {
        reply += command.reply(&self)
        if let id = command.id { truths[id]?.mark = command.mark }
      }
      send(["EXEC"], id: nil, reply)
    case 1 where random(4) == 0:
      queue = nil
      send(["DISCARD"], id: nil, "+OK\r\n")
    case 1:
      let id = newID("SUBSCRIBE", "simple_string QUEUED")
      truths[id]?.isQueued = true
      let names = (0...random(3)).map { "k\(id)" + String(repeating: "i", count: $0) }
      queue?.append(
        Queued(id: id, mark: "[subscribe, k\(id), ") { server in
          names.flatMap { server.confirm("subscribe", $0, 0) }
        })
      send(["SUBSCRIBE"] + names, id: id, "+QUEUED\r\n")
    default:
      let (id, words, reply, _) = plain(mayBlock: false)
      queue?.append(Queued(id: id, mark: truths[id]?.mark) { _ in reply })
      truths[id]?.mark = "simple_string QUEUED"
      truths[id]?.isQueued = true
      send(words, id: id, "+QUEUED\r\n")
    }
  }

  /// What may be said in RESP2's subscribed mode.
  private mutating func saySubscribed() {
    switch random(5) {
    case 0: reset()
    case 1, 2:
      let id = newID("PING", "[pong, k")
      send(["PING", "k\(id)"], id: id, Array("*2\r\n".utf8) + bulk("pong") + bulk("k\(id)"), mark: "[pong, k\(id)]")
    default: subscribe()
    }
  }

  private mutating func subscribe() {
    let kind = random(3)
    let prefix = ["", "P", "S"][kind]
    let word = ["", "p", "s"][kind]
    switch random(4) {
    case 0, 1:
      let id = newID(prefix + "SUBSCRIBE", "[\(word)subscribe, k")
      let names = (0...random(3)).map { "k\(id)" + String(repeating: "i", count: $0) }
      let reply = names.flatMap { confirm(word + "subscribe", $0, kind) }
      send([prefix + "SUBSCRIBE"] + names, id: id, reply, mark: "[\(word)subscribe, k\(id), ")
    case 2:
      // Of channels of which one is subscribed to at most: the first, which nobody knows, is the id.
      let id = newID(prefix + "UNSUBSCRIBE", "")
      let names = ["k\(id)"] + channels[kind].prefix(1)
      let reply = names.flatMap { confirm(word + "unsubscribe", $0, kind) }
      send([prefix + "UNSUBSCRIBE"] + names, id: id, reply, mark: "[\(word)unsubscribe, k\(id), ")
    default:
      let names: [String?] = channels[kind].isEmpty ? [nil] : channels[kind]
      send([prefix + "UNSUBSCRIBE"], id: nil, names.flatMap { confirm(word + "unsubscribe", $0, kind) })
    }
  }

  /// Subscribes or ends a subscription; returns the confirmation.
  private mutating func confirm(_ word: String, _ name: String?, _ kind: Int) -> [UInt8] {
    channels[kind].removeAll { $0 == name }
    if let name, !word.contains("unsub") { channels[kind].append(name) }
    let total = kind == 2 ? channels[2].count : channels[0].count + channels[1].count
    return confirmation(word, name, total, type: usesRESP3 ? ">" : "*")
  }

  private mutating func changeReplyMode() {
    let isRefused = style.refusesReplyMode
    if mode == .off || random(3) == 0 {
      mode = .on
      return send(["CLIENT", "REPLY", "ON"], id: nil, isRefused ? "-NOPERM no\r\n" : "+OK\r\n")
    }
    let isOff = random(2) == 0
    send(["CLIENT", "REPLY", isOff ? "OFF" : "SKIP"], id: nil, isRefused ? "-NOPERM no\r\n" : "")
    if !isRefused { mode = isOff ? .off : .skipNext }
  }

  private mutating func reset() {
    usesRESP3 = false
    isMonitoring = false
    queue = nil
    channels = [[], [], []]
    send(["RESET"], id: nil, "+RESET\r\n", isAlwaysAnswered: true)
    mode = .on
  }

  /// What the server says by itself: messages, lines of MONITOR, invalidations, ends of shard subscriptions.
  private mutating func speakUp() {
    let type = usesRESP3 ? ">" : "*"
    var bytes: [UInt8] = []
    if isMonitoring, random(2) == 0 { bytes += Array("+1700000000.000001 [0 127.0.0.1:5] \"GET\" \"x\"\r\n".utf8) }
    if usesRESP3, random(8) == 0 {
      bytes += Array(">2\r\n".utf8) + bulk("invalidate") + Array("*1\r\n".utf8) + bulk("x")
    }
    if let name = channels[0].first, random(3) == 0 {
      bytes += Array("\(type)3\r\n".utf8) + bulk("message") + bulk(name) + bulk("news")
    }
    if let name = channels[2].first, random(12) == 0 { bytes += confirm("sunsubscribe", name, 2) }
    if !bytes.isEmpty { reply(bytes) }
  }

  // MARK: The wire

  private mutating func send(
    _ words: [String], id: Int?, _ text: String, mark: String? = "", service: Int = 0, isAlwaysAnswered: Bool = false
  ) {
    send(words, id: id, Array(text.utf8), mark: mark, service: service, isAlwaysAnswered: isAlwaysAnswered)
  }

  private mutating func send(
    _ words: [String], id: Int?, _ bytes: [UInt8], mark: String? = "", service: Int = 0, isAlwaysAnswered: Bool = false
  ) {
    moments.append(
      Moment(milliseconds: clock, isReply: false, bytes: encode(words.map { Array($0.utf8) })))
    let isAnswered = mode == .on || isAlwaysAnswered
    if let id, mark != "" || !isAnswered { truths[id]?.mark = isAnswered ? mark : nil }
    serverClock = max(serverClock, clock + style.roundTripMilliseconds / 2) + service
    if isAnswered, !bytes.isEmpty { reply(bytes) }
  }

  private mutating func reply(_ bytes: [UInt8]) {
    serverClock = max(serverClock, clock)
    var bytes = bytes[...]
    if bytes.count > 40, random(30) == 0 {
      // It comes with a pause in its middle.
      let begin = 1 + random(bytes.count - 1)
      moments.append(Moment(milliseconds: arrival, isReply: true, bytes: Array(bytes.prefix(begin))))
      bytes = bytes.dropFirst(begin)
      serverClock += 110 + random(100)
    }
    moments.append(Moment(milliseconds: arrival, isReply: true, bytes: Array(bytes)))
  }

  private var arrival: Int { serverClock + style.roundTripMilliseconds / 2 }

  /// Everything in the order in which it is recorded, cut into frames.
  mutating func events() -> [Event] {
    let isReplyFirst = style.isRecordedLate
    let ordered = moments.enumerated().sorted { left, right in
      let (a, b) = (left.element, right.element)
      if a.milliseconds != b.milliseconds { return a.milliseconds < b.milliseconds }
      if a.isReply != b.isReply { return a.isReply == isReplyFirst }
      return left.offset < right.offset
    }
    var events: [Event] = []
    var now = 0
    var index = 0
    while index < ordered.count {
      let first = ordered[index].element
      if first.milliseconds > now { events.append(.silence(milliseconds: UInt64(first.milliseconds - now))) }
      now = first.milliseconds
      var bytes: [UInt8] = []
      while index < ordered.count, ordered[index].element.milliseconds == now,
        ordered[index].element.isReply == first.isReply
      {
        bytes += ordered[index].element.bytes
        index += 1
      }
      var begin = 0
      for length in randomPieces(bytes.count, upTo: [7, 100, 4096][random(3)], &generator) {
        let piece = Array(bytes[begin..<begin + length])
        events.append(first.isReply ? .server(piece) : .client(piece))
        begin += length
      }
    }
    return events
  }

  private mutating func newID(_ command: String, _ mark: String) -> Int {
    truths[truths.count] = Truth(command: command, mark: mark)
    return truths.count - 1
  }

  private mutating func random(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &generator) }
}
