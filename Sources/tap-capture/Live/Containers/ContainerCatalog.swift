// What the capture knows of containers. Each is asked about once, at the first process seen in it, and again when its
// runtime's file has changed; nobody waits for the answer, except a short moment for the first line.
import Glibc

struct ContainerCatalog: ~Copyable {
  /// At the start of a capture, for the containers that are there by then.
  static let startWaitNanoseconds: UInt64 = 250_000_000
  /// Before the first process of a container is described. The ring takes up what happens meanwhile.
  static let firstWaitNanoseconds: UInt64 = 20_000_000
  private static let refreshNanoseconds: UInt64 = 1_000_000_000
  /// Containers that are remembered; one that nobody keeps any more is forgotten.
  private static let maximumContainers = 4096

  struct Entry {
    /// nil until something is known.
    var description: ContainerDescription?
    var users: ContainerUsers?
    fileprivate var question: ContainerQuestion
    fileprivate var isPending = true
    fileprivate var isWaitedFor = false
  }

  private var entries: [ContainerIdentity: Entry] = [:]
  private var nextRefresh: UInt64 = 0
  private let lookups = ContainerLookups()

  subscript(identity: ContainerIdentity) -> Entry? { entries[identity] }

  /// A process was seen in a container that `keeper` keeps.
  mutating func see(_ identity: ContainerIdentity, member: Int32, keeper: Int32) {
    if var entry = entries[identity] {
      // Started again: another keeper.
      guard entry.question.keeper != keeper, !entry.isPending else { return }
      entry.question.keeper = keeper
      entry.question.member = member
      entry.question.known = nil
      entry.isPending = true
      entries[identity] = entry
      lookups.ask(entry.question)
    } else {
      if entries.count >= Self.maximumContainers { entries = entries.filter { $0.value.isPending } }
      guard entries.count < Self.maximumContainers else { return }
      let question = ContainerQuestion(identity: identity, keeper: keeper, member: member, known: nil)
      entries[identity] = Entry(question: question)
      lookups.ask(question)
    }
  }

  /// Takes the answers that have come, and returns the containers of which something new is known.
  mutating func takeAnswers() -> Set<ContainerIdentity> {
    var changed: Set<ContainerIdentity> = []
    for answer in lookups.takeAnswers() {
      guard var entry = entries[answer.identity] else { continue }
      entry.isPending = false
      switch answer.outcome {
      case .gone:
        entries[answer.identity] = nil
        continue
      case .unchanged:
        break
      case .found(let description, let users, let watched):
        if entry.description != description || entry.users != users { changed.insert(answer.identity) }
        entry.description = description
        entry.users = users
        entry.question.known = watched
      }
      entries[answer.identity] = entry
    }
    return changed
  }

  /// Has all containers looked at again, at most once a second: most find that nothing has changed.
  mutating func refresh(at now: UInt64) {
    guard now >= nextRefresh else { return }
    nextRefresh = now + Self.refreshNanoseconds
    for identity in entries.keys {
      guard var entry = entries[identity], !entry.isPending else { continue }
      entry.isPending = true
      entries[identity] = entry
      lookups.ask(entry.question)
    }
  }

  /// Waits until all containers are known, for a bounded time, and returns those that are.
  mutating func waitForAll() -> Set<ContainerIdentity> {
    wait(Self.startWaitNanoseconds) { $0.entries.values.contains { $0.isPending } }
  }

  /// What is known of all of them.
  var descriptions: [(ContainerIdentity, ContainerDescription)] {
    entries.compactMap { identity, entry in entry.description.map { (identity, $0) } }
  }

  /// Waits until a container is known, once, for a bounded time, and returns those of which something new is known.
  mutating func waitForFirst(
    _ identity: ContainerIdentity, nanoseconds: UInt64 = firstWaitNanoseconds
  ) -> Set<ContainerIdentity> {
    guard let entry = entries[identity], entry.isPending, entry.description == nil, !entry.isWaitedFor else {
      return []
    }
    entries[identity]?.isWaitedFor = true
    return wait(nanoseconds) { $0.entries[identity]?.isPending ?? false }
  }

  private mutating func wait(
    _ nanoseconds: UInt64, while isIncomplete: (borrowing ContainerCatalog) -> Bool
  ) -> Set<ContainerIdentity> {
    let deadline = clockNanoseconds(CLOCK_MONOTONIC) + nanoseconds
    var changed = takeAnswers()
    while isIncomplete(self), clockNanoseconds(CLOCK_MONOTONIC) < deadline {
      usleep(200)
      changed.formUnion(takeAnswers())
    }
    return changed
  }
}
