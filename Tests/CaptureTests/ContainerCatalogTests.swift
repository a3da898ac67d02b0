// What is known of containers while their keepers come and go, and lookups that hang or cost much.
import Glibc
import Synchronization
import Testing

@testable import tap_capture

/// A runtime in which keepers live or not.
private final class Runtime: Sendable {
  static let endedMember: Int32 = 99
  private let state = Mutex((ended: Set<Int32>(), asked: [Int32](), isOver: false))

  func stop() { state.withLock { $0.isOver = true } }
  var isOver: Bool { state.withLock { $0.isOver } }
  func end(_ pid: Int32) { state.withLock { _ = $0.ended.insert(pid) } }
  var asked: [Int32] { state.withLock { $0.asked } }

  func answer(_ question: ContainerQuestion) -> ContainerAnswer {
    state.withLock { state in
      let pid = question.keeper.pid
      state.asked.append(pid)
      guard !state.ended.contains(pid) else { return ContainerAnswer(identity: question.identity, outcome: .gone) }
      var description = ContainerDescription(question.identity)
      description.name = "keeper-\(pid)"
      return ContainerAnswer(
        identity: question.identity, outcome: .found(description, nil, nil),
        addresses: question.member == Self.endedMember ? nil : ["10.0.0.\(pid)"])
    }
  }
}

private func keeper(_ pid: Int32) -> ContainerKeeper { ContainerKeeper(pid: pid, startTicks: 1) }

@Suite struct ContainerCatalogTests {
  private let identity = ContainerIdentity(id: "1", runtime: .podman)
  private let runtime = Runtime()

  private func makeCatalog() -> ContainerCatalog {
    ContainerCatalog(lookups: ContainerLookups { [runtime] in runtime.answer($0) })
  }

  private func addresses(_ catalog: borrowing ContainerCatalog) -> [[String]] {
    catalog.descriptions.map(\.1.addresses)
  }

  /// Another keeper beside one that lives is none; nor does its end change anything.
  @Test func oneKeeperAtATime() {
    var catalog = makeCatalog()
    catalog.see(identity, member: 100, keeper: keeper(1))
    _ = catalog.waitForAll()
    catalog.see(identity, member: 101, keeper: keeper(2))
    _ = catalog.waitForAll()
    runtime.end(2)
    let name = catalog[identity]?.description?.name
    #expect(name == "keeper-1" && runtime.asked == [1, 1])
  }

  /// Started again: the keeper that came takes the place of the one that ended, at once where that is known to have ended.
  @Test func startedAgain() {
    var catalog = makeCatalog()
    catalog.see(identity, member: 100, keeper: keeper(1))
    _ = catalog.waitForAll()
    runtime.end(1)
    catalog.see(identity, member: 101, keeper: keeper(2))
    let changes = catalog.waitForAll()
    let name = catalog[identity]?.description?.name
    #expect(changes.described == [identity] && name == "keeper-2")
  }

  /// The same while a lookup is under way that finds the first one gone.
  @Test func startedAgainWhileItIsLookedAt() {
    var catalog = makeCatalog()
    runtime.end(1)
    catalog.see(identity, member: 100, keeper: keeper(1))
    catalog.see(identity, member: 101, keeper: keeper(2))
    _ = catalog.waitForAll()
    let name = catalog[identity]?.description?.name
    #expect(name == "keeper-2" && runtime.asked == [1, 2])
  }

  /// A container keeps its name when its keeper ends, and its address is free; it is forgotten with its last process.
  @Test func keptByNobody() {
    var catalog = makeCatalog()
    catalog.see(identity, member: 100, keeper: keeper(1))
    _ = catalog.waitForAll()
    #expect(addresses(catalog) == [["10.0.0.1"]])
    runtime.end(1)
    let second: UInt64 = 1_000_000_000
    let later = clockNanoseconds(CLOCK_MONOTONIC) + 5 * second
    var forgotten = catalog.refresh(at: later) { [] }
    let changes = catalog.waitForAll()
    let name = catalog[identity]?.description?.name
    #expect(forgotten.isEmpty && changes.haveAbandoned && name == "keeper-1" && addresses(catalog).isEmpty)
    forgotten = catalog.refresh(at: later + 5 * second) { [identity] }
    #expect(forgotten.isEmpty)
    forgotten = catalog.refresh(at: later + 10 * second) { [] }
    let isForgotten = catalog[identity] == nil
    #expect(forgotten == [identity] && isForgotten)
  }

  /// Users and addresses are read through a process of the container: when it has ended, through the next one.
  @Test func anotherMember() {
    var catalog = makeCatalog()
    catalog.see(identity, member: Runtime.endedMember, keeper: keeper(1))
    _ = catalog.waitForAll()
    #expect(addresses(catalog) == [[]])
    catalog.see(identity, member: 101, keeper: keeper(1))
    _ = catalog.refresh(at: clockNanoseconds(CLOCK_MONOTONIC) + 5_000_000_000) { [] }
    _ = catalog.waitForAll()
    #expect(addresses(catalog) == [["10.0.0.1"]])
  }

  /// Four that hang do not take the names of others.
  @Test(.timeLimit(.minutes(1))) func lookupsThatHang() {
    let lookups = ContainerLookups { [runtime] question in
      while question.keeper.pid < 10, !runtime.isOver { usleep(1000) }
      return runtime.answer(question)
    }
    var catalog = ContainerCatalog(lookups: lookups)
    for pid: Int32 in 0..<10 {
      catalog.see(ContainerIdentity(id: "hung-\(pid)", runtime: nil), member: 1, keeper: keeper(pid))
    }
    catalog.see(identity, member: 100, keeper: keeper(10))
    while catalog[identity]?.description == nil {
      usleep(10_000)
      _ = catalog.takeAnswers()
    }
    runtime.stop()
  }

  /// All lookups together take a fifth of a processor, after a second of it at once.
  @Test func budget() {
    var budget = LookupBudget(at: 0)
    let second: UInt64 = 1_000_000_000
    let pauses = [
      budget.pay(second, at: 0), budget.pay(second / 10, at: 0), budget.pay(second / 10, at: second / 2),
      budget.pay(second, at: 100 * second),
    ]
    #expect(pauses == [0, second / 2, second / 2, 0])
  }
}
