// What /proc says, in the odd forms that it has.
import Glibc
import Testing

@testable import tap_capture

@Suite struct ProcTests {
  @Test func aStatus() {
    let text = "42 (redis-server) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 5 0 123456 1 2"
    #expect(ProcessStatus(parsing: Array(text.utf8)) == .init(comm: "redis-server", parent: 7, startTicks: 123456))
  }

  @Test func aNameWithParenthesesAndBlanks() {
    let text = "42 (a) S 9 (b)) R 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 5 0 99 1 2"
    #expect(ProcessStatus(parsing: Array(text.utf8)) == .init(comm: "a) S 9 (b)", parent: 7, startTicks: 99))
  }

  @Test(arguments: [
    "", "42", "42 (", "42 (x", "42 )x(", "42 (x) S", "42 (x) S y 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
  ])
  func noStatus(text: String) {
    #expect(ProcessStatus(parsing: Array(text.utf8)) == nil)
  }

  @Test func ourOwnStatus() throws {
    let status = try #require(ProcessStatus.read(getpid()))
    #expect(status.parent == getppid())
    #expect(status.startTicks > 0)
    #expect(ProcessStatus.read(-1) == nil)
  }

  @Test func users() {
    let text = "Name:\tx\nUid:\t1000\t33\t1000\t1000\nGid:\t5\t6\t7\t8\n"
    #expect(ProcessNumbers(parsing: Array(text.utf8)).uid == 33)
    #expect(ProcessNumbers(parsing: Array("Uid:\t1000\n".utf8)).uid == nil)
    #expect(ProcessNumbers(parsing: Array("Tgid:\t40\nNgid:\t0\nPid:\t42\n".utf8)).threadGroup == 40)
    #expect(ProcessNumbers(parsing: []) == ProcessNumbers(parsing: Array("Name:\tx\n".utf8)))
  }

  @Test func arguments() {
    #expect(splitArguments(Array("a\0b c\0\0d\0".utf8)) == [.init("a"), .init("b c"), [], .init("d")])
    // setproctitle pads with NULs.
    #expect(splitArguments(Array("redis-server *:6379\0\0\0\0".utf8)) == [.init("redis-server *:6379")])
    #expect(splitArguments([]) == [])
  }

  @Test(arguments: [
    ("/usr/bin/redis-cli", "/", "/usr/bin/redis-cli", nil),
    ("/usr/bin/redis-cli (deleted)", "/", "/usr/bin/redis-cli", nil),
    ("/srv/jail/bin/sh", "/srv/jail", "/bin/sh", "/srv/jail/bin/sh"),
    ("/srv/jail/bin/sh (deleted)", "/srv/jail", "/bin/sh", "/srv/jail/bin/sh"),
    // Opened before the chroot.
    ("/srv/jailed/sh", "/srv/jail", "/srv/jailed/sh", nil),
    ("", "", "", nil),
  ])
  func pathsOfPrograms(exe: String, root: String, seen: String, host: String?) {
    let paths = programPaths(exe: .init(exe), root: .init(root))
    #expect(paths.seen == .init(seen) && paths.host == host.map { .init($0) })
  }

  @Test func inodes() {
    #expect(inode(inLink: .init("pipe:[4026]"), prefix: "pipe") == 4026)
    #expect(inode(inLink: .init("socket:[4026]"), prefix: "pipe") == nil)
    #expect(inode(inLink: .init("pipe:[x]"), prefix: "pipe") == nil)
    #expect(inode(inLink: .init("/tmp/pipe:[1]"), prefix: "pipe") == nil)
  }

  @Test func families() {
    let parents: [Int32: Int32] = [2: 1, 3: 2, 4: 3, 5: 1, 6: 5, 7: 99]
    #expect(descendants(of: [2], parents: parents) == [2, 3, 4])
    #expect(descendants(of: [2, 5], parents: parents) == [2, 3, 4, 5, 6])
    #expect(descendants(of: [42], parents: parents) == [42])
    // Processes come and go while /proc is read, so that a circle is possible.
    #expect(descendants(of: [1], parents: [1: 2, 2: 1]) == [1, 2])
  }

  @Test func pathsAreRecordedFromTheirEnd() {
    let components = Array("redis-cli\0bin\0usr\0".utf8)
    components.withUnsafeBytes { #expect(ProcessTable.joinPath($0) == .init("/usr/bin/redis-cli")) }
  }
}

extension [UInt8] {
  init(_ text: String) { self = Array(text.utf8) }
}

extension ProcessStatus {
  init(comm: String, parent: Int32, startTicks: UInt64) {
    // Every field that is not given here is 0.
    let zeros = Array(repeating: "0", count: 17).joined(separator: " ")
    let text = "1 (\(comm)) S \(parent) \(zeros) \(startTicks)"
    guard let status = ProcessStatus(parsing: Array(text.utf8)) else { preconditionFailure("the test's own line") }
    self = status
  }
}
