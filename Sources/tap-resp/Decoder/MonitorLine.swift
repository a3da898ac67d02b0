// Lines of MONITOR: a time, who said it, and the words of a command in quotes (replicationFeedMonitors in replication.c).
import TapWire

/// Where the parts of such a line stand.
///
/// `1339518083.107412 [0 127.0.0.1:60866] "keys" "*"`; with `[::1]:60866`, `lua` or the path of a socket for the address. Before
/// Redis 2.6: `1339518083.107412 (db 3) "keys" "*"`, and of database 0 only the time.
enum MonitorLine {
  /// Where the first word's quote stands; nil in any other text.
  static func wordsStart(_ text: UnsafeRawBufferPointer) -> Int? {
    let stamp = text.prefix { (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") }
    guard stamp.count >= 12, text.dropFirst(stamp.count).first == UInt8(ascii: " ") else { return nil }
    let behind = stamp.count + 1
    switch text.dropFirst(behind).first {
    case UInt8(ascii: "["): return start(behind: "] ", in: text, from: behind)
    case UInt8(ascii: "("): return start(behind: ") ", in: text, from: behind)
    case UInt8(ascii: "\""): return behind
    default: return nil
    }
  }

  /// The quote behind the first place where `end` and a quote stand: an IPv6 address has brackets of its own.
  private static func start(behind end: StaticString, in text: UnsafeRawBufferPointer, from: Int) -> Int? {
    let mark = Array("\(end)\"".utf8)
    var position = from
    while position + mark.count <= text.count {
      if text[position..<(position + mark.count)].elementsEqual(mark) { return position + mark.count - 1 }
      position += 1
    }
    return nil
  }
}
