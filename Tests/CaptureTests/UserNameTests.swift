// Names of users, which a name service may owe for ever.
import Glibc
import Synchronization
import Testing

@testable import tap_capture

@Suite struct UserNameTests {
  @Test func ofThisMachine() {
    var names = UserNames()
    #expect(names.name(of: 0) == "root")
    #expect(names.name(of: 4_123_456_789) == nil)
  }

  @Test func aServiceThatHangs() {
    let mayGoOn = Mutex(false)
    let asked = Mutex<[UInt32]>([])
    var names = UserNames { uid in
      asked.withLock { $0.append(uid) }
      while uid == 1, !mayGoOn.withLock({ $0 }) { usleep(1000) }
      return "user\(uid)"
    }
    #expect(names.name(of: 0) == "user0")
    #expect(names.name(of: 1) == nil)
    // The others are not even waited for, and nobody is asked for twice.
    let start = clockNanoseconds(CLOCK_MONOTONIC)
    for _ in 0..<3 { #expect(names.name(of: 2) == nil && names.name(of: 1) == nil) }
    #expect(clockNanoseconds(CLOCK_MONOTONIC) - start < UserNames.waitNanoseconds)
    mayGoOn.withLock { $0 = true }
    var found: Set<UInt32> = []
    for _ in 0..<5000 where found != [1, 2] {
      found.formUnion(names.takeAnswers())
      usleep(1000)
    }
    #expect(found == [1, 2] && names.name(of: 1) == "user1" && names.name(of: 2) == "user2")
    #expect(asked.withLock { $0 } == [0, 1, 2])
  }
}
