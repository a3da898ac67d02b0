// What libbpf says while it loads: kept for the diagnosis, shown only when asked for.
import CLibbpf
import Glibc
import Synchronization
import TapWire

enum LibbpfMessages {
  /// The last messages, at most `keptBytes` of them: the verifier can say megabytes.
  private static let kept = Mutex("")
  private static let isVerbose = Atomic(false)
  private static let keptBytes = 16 << 10

  /// Replaces libbpf's own printing to stderr. `verbose` also shows each message.
  static func install(verbose: Bool) {
    isVerbose.store(verbose, ordering: .relaxed)
    libbpf_set_print { level, format, arguments in
      guard let format, let arguments, level != LIBBPF_DEBUG else { return 0 }
      // The reason stands at the end of what the verifier says, which can be long.
      let text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1 << 20) { buffer -> String in
        guard let start = buffer.baseAddress, vsnprintf(start, buffer.count, format, arguments) >= 0 else { return "" }
        return String(cString: start)
      }
      LibbpfMessages.receive(text)
      return 0
    }
  }

  private static func receive(_ text: String) {
    kept.withLock { $0 = String(($0 + text).suffix(keptBytes)) }
    report(text.trimmingSuffix { $0.isNewline })
  }

  /// Shows a message of our own among those of libbpf, if they are shown.
  static func report(_ text: String) {
    if isVerbose.load(ordering: .relaxed) { Diagnostics(program: "tap-capture").report(text) }
  }

  /// Begins anew: what was said until now is of another attempt.
  static func forget() { kept.withLock { $0 = "" } }

  /// The messages so far.
  static var text: String { kept.withLock { $0 } }
}

extension String {
  fileprivate func trimmingSuffix(while condition: (Character) -> Bool) -> String {
    var text = self[...]
    while let last = text.last, condition(last) { text = text.dropLast() }
    return String(text)
  }
}
