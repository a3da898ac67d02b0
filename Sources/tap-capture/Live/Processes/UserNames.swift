// User names by number. A name service (sssd, LDAP) can be slow, or hang: it is asked on a thread of its own, each number once,
// and nobody waits for it longer than a moment.
import Glibc
import Synchronization

struct UserNames {
  /// Before the first process of a user is described. The ring takes up what happens meanwhile.
  static let waitNanoseconds: UInt64 = 250_000_000
  /// Names that are remembered: a long capture on a machine with many users must not grow for ever.
  static let maximumNames = 4096

  private var names: [UInt32: String?] = [:]
  /// Whether the last wait was in vain: where a service hangs, the next names need not be waited for.
  private var isHanging = false
  /// Users whose names have come later than they were asked for.
  private var late: Set<UInt32> = []
  private let lookups: UserLookups

  init(_ lookUp: @escaping @Sendable (UInt32) -> String? = systemUserName) { lookups = UserLookups(lookUp) }

  /// nil also while it is not known yet.
  mutating func name(of uid: UInt32) -> String? {
    if let known = names[uid] { return known }
    if names.count >= Self.maximumNames { names.removeAll() }
    names[uid] = .some(nil)
    if lookups.ask(uid) { isHanging = false }
    if !isHanging {
      let deadline = clockNanoseconds(CLOCK_MONOTONIC) + Self.waitNanoseconds
      while lookups.isBusy, clockNanoseconds(CLOCK_MONOTONIC) < deadline { usleep(200) }
      isHanging = lookups.isBusy
    }
    collectAnswers()
    late.remove(uid)
    return names[uid] ?? nil
  }

  /// Takes the names that have come, and returns whose they are of those that were asked for in vain.
  mutating func takeAnswers() -> Set<UInt32> {
    collectAnswers()
    defer { late.removeAll() }
    return late
  }

  private mutating func collectAnswers() {
    for (uid, name) in lookups.takeAnswers() {
      names[uid] = .some(name)
      if name != nil { late.insert(uid) }
    }
  }
}

/// The thread that asks.
private final class UserLookups: Sendable {
  private struct State {
    var questions: [UInt32] = []
    var answers: [(uid: UInt32, name: String?)] = []
    var isBusy = false
  }
  private let state = Mutex(State())
  private let lookUp: @Sendable (UInt32) -> String?

  init(_ lookUp: @escaping @Sendable (UInt32) -> String?) { self.lookUp = lookUp }

  /// Returns false where others are asked for already.
  func ask(_ uid: UInt32) -> Bool {
    let isFirst = state.withLock { state in
      state.questions.append(uid)
      defer { state.isBusy = true }
      return !state.isBusy
    }
    if isFirst, !startThread({ self.work() }) { state.withLock { $0.isBusy = false } }
    return isFirst
  }

  var isBusy: Bool { state.withLock { $0.isBusy } }

  func takeAnswers() -> [(uid: UInt32, name: String?)] {
    state.withLock { state in
      defer { state.answers.removeAll() }
      return state.answers
    }
  }

  private func work() {
    while let uid = nextQuestion() {
      let name = lookUp(uid)
      state.withLock { $0.answers.append((uid, name)) }
    }
  }

  private func nextQuestion() -> UInt32? {
    state.withLock { state in
      if let uid = state.questions.popLast() { return uid }
      state.isBusy = false
      return nil
    }
  }
}

/// What the system's name services say (getpwuid_r(3)).
@Sendable private func systemUserName(_ uid: UInt32) -> String? {
  var buffer = [CChar](repeating: 0, count: 1024)
  while true {
    var entry = passwd()
    var found: UnsafeMutablePointer<passwd>?
    let failure = getpwuid_r(uid, &entry, &buffer, buffer.count, &found)
    if failure == ERANGE, buffer.count < 1 << 20 {
      buffer = [CChar](repeating: 0, count: buffer.count * 4)
      continue
    }
    return failure == 0 && found != nil ? String(cString: entry.pw_name) : nil
  }
}
