// What the capture knows of containers. Each is asked about once, at the first process seen in it, and again when its
// runtime's file has changed; nobody waits for the answer, except a short moment for the first line.
import Glibc

struct ContainerCatalog: ~Copyable {
  /// At the start of a capture, for the containers that are there by then.
  static let startWaitNanoseconds: UInt64 = 250_000_000
  /// Before the first process of a container is described. The ring takes up what happens meanwhile.
  static let firstWaitNanoseconds: UInt64 = 20_000_000
  private static let refreshNanoseconds: UInt64 = 1_000_000_000
  /// A container is not looked at again before this many times as long as its last lookup took.
  private static let refreshFactor: UInt64 = 100
  /// Containers that are remembered.
  private static let maximumContainers = 4096

  struct Entry {
    /// nil until something is known.
    var description: ContainerDescription?
    var users: ContainerUsers?
    fileprivate var question: ContainerQuestion
    /// The same about another keeper, which takes the place of the present one when that ends: the container was started again.
    fileprivate var successor: ContainerQuestion?
    fileprivate var isPending = true
    fileprivate var isWaitedFor = false
    /// The process in it that was looked at has ended: another one may tell more.
    fileprivate var isMemberGone = false
    /// Nobody keeps it any more. Its processes may go on, with what is known of it.
    fileprivate var isAbandoned = false
    fileprivate var nextRefresh: UInt64 = 0
  }

  /// What answers have brought.
  struct Changes {
    /// The containers of which something new is known.
    var described: Set<ContainerIdentity> = []
    /// Whether some have none any more.
    var haveAbandoned = false

    var isEmpty: Bool { described.isEmpty && !haveAbandoned }
  }

  private var entries: [ContainerIdentity: Entry] = [:]
  private var nextRefresh: UInt64 = 0
  private let lookups: ContainerLookups

  init(lookups: ContainerLookups = ContainerLookups()) { self.lookups = lookups }

  subscript(identity: ContainerIdentity) -> Entry? { entries[identity] }

  /// A process was seen in a container that `keeper` keeps.
  mutating func see(_ identity: ContainerIdentity, member: Int32, keeper: ContainerKeeper) {
    let question = ContainerQuestion(identity: identity, keeper: keeper, member: member)
    guard let entry = entries[identity] else {
      if entries.count >= Self.maximumContainers { entries = entries.filter { $0.value.isPending } }
      guard entries.count < Self.maximumContainers else { return }
      entries[identity] = Entry(question: question)
      lookups.ask(question)
      return
    }
    if entry.question.keeper == keeper, entry.isMemberGone, !entry.isPending {
      entries[identity]?.question = question
      entries[identity]?.isMemberGone = false
    }
    guard entry.question.keeper != keeper, entry.successor?.keeper != keeper else { return }
    entries[identity]?.successor = question
    // Whether the other one has ended is for the lookup to find out.
    if !entry.isPending { ask(identity) }
  }

  private mutating func ask(_ identity: ContainerIdentity) {
    guard var entry = entries[identity] else { return }
    if entry.isAbandoned, let successor = entry.successor {
      entry.question = successor
      entry.successor = nil
      entry.isAbandoned = false
      if entry.description == nil { entry.isWaitedFor = false }
    }
    entry.isPending = true
    entries[identity] = entry
    lookups.ask(entry.question)
  }

  /// Takes the answers that have come.
  mutating func takeAnswers() -> Changes {
    var changes = Changes()
    for answer in lookups.takeAnswers() {
      guard var entry = entries[answer.identity] else { continue }
      entry.isPending = false
      entry.nextRefresh =
        clockNanoseconds(CLOCK_MONOTONIC) + max(Self.refreshNanoseconds, answer.costNanoseconds * Self.refreshFactor)
      let before = entry
      switch answer.outcome {
      case .gone:
        entry.isAbandoned = true
        changes.haveAbandoned = true
      case .unchanged:
        break
      case .found(let description, let users, let watched):
        entry.description = description
        entry.description?.addresses = before.description?.addresses ?? []
        entry.users = users ?? before.users
        entry.question.known = watched
      }
      if let addresses = answer.addresses { entry.description?.addresses = addresses }
      entry.isMemberGone = answer.addresses == nil
      if entry.description != before.description || entry.users != before.users {
        changes.described.insert(answer.identity)
      }
      entries[answer.identity] = entry
      if entry.isAbandoned, entry.successor != nil { ask(answer.identity) }
    }
    return changes
  }

  /// Has the containers looked at again, each at most once a second: most find that nothing has changed. Forgets those that nobody
  /// keeps and that are not in use, and returns them.
  mutating func refresh(at now: UInt64, inUse: () -> Set<ContainerIdentity>) -> [ContainerIdentity] {
    guard now >= nextRefresh else { return [] }
    nextRefresh = now + Self.refreshNanoseconds
    for (identity, entry) in entries where !entry.isPending && !entry.isAbandoned && now >= entry.nextRefresh {
      ask(identity)
    }
    let abandoned = entries.filter { $0.value.isAbandoned }.map(\.key)
    guard !abandoned.isEmpty else { return [] }
    let used = inUse()
    let forgotten = abandoned.filter { !used.contains($0) }
    for identity in forgotten { entries[identity] = nil }
    return forgotten
  }

  /// Waits until all containers are known, for a bounded time.
  mutating func waitForAll() -> Changes {
    wait(Self.startWaitNanoseconds) { $0.entries.values.contains { $0.isPending } }
  }

  /// What is known of all that are kept.
  var descriptions: [(ContainerIdentity, ContainerDescription)] {
    entries.compactMap { identity, entry in entry.isAbandoned ? nil : entry.description.map { (identity, $0) } }
  }

  /// Waits until a container is known, once, for a bounded time.
  mutating func waitForFirst(
    _ identity: ContainerIdentity, nanoseconds: UInt64 = firstWaitNanoseconds
  ) -> Changes {
    guard let entry = entries[identity], entry.isPending, entry.description == nil, !entry.isWaitedFor else {
      return Changes()
    }
    entries[identity]?.isWaitedFor = true
    return wait(nanoseconds) { $0.entries[identity]?.isPending ?? false }
  }

  private mutating func wait(
    _ nanoseconds: UInt64, while isIncomplete: (borrowing ContainerCatalog) -> Bool
  ) -> Changes {
    let deadline = clockNanoseconds(CLOCK_MONOTONIC) + nanoseconds
    var changes = takeAnswers()
    while isIncomplete(self), clockNanoseconds(CLOCK_MONOTONIC) < deadline {
      usleep(200)
      let more = takeAnswers()
      changes.described.formUnion(more.described)
      changes.haveAbandoned = changes.haveAbandoned || more.haveAbandoned
    }
    return changes
  }
}
