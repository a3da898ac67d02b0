// What is known of processes by the records of their lives, and what not, where records are lost.
import CaptureRecords
import Glibc
import Testing

@testable import tap_capture

/// A process that began `seconds` after the machine.
private func key(
  _ pid: UInt32, from seconds: UInt64, exec: UInt32 = 0, uid: UInt32 = 0, gid: UInt32 = 0
) -> tap_process_key {
  tap_process_key(
    start_boottime_ns: seconds * 1_000_000_000, tgid: pid, uid: uid, gid: gid, exec_id: exec)
}

extension ProcessTable {
  fileprivate mutating func fork(_ child: tap_process_key, from parent: tap_process_key, namespacePID: UInt32 = 1) {
    var record = tap_fork_record()
    record.process = child
    record.parent = parent
    record.namespace_pid = namespacePID
    fork(record)
  }

  fileprivate mutating func execute(_ process: tap_process_key, _ name: String, under parent: tap_process_key) {
    var record = tap_exec_record()
    record.process = process
    record.parent = parent
    record.path_length = UInt32(name.utf8.count + 5)
    record.host_path_length = record.path_length
    withUnsafeMutableBytes(of: &record.comm) { $0.copyBytes(from: name.utf8) }
    let words = Array("\(name)\0".utf8)
    let path = Array("\(name)\0bin\0".utf8)
    let cgroup = Array("a.service\0".utf8)
    words.withUnsafeBytes { words in
      path.withUnsafeBytes { path in
        cgroup.withUnsafeBytes { cgroup in execute(record, commandLine: words, path: path, cgroup: cgroup) }
      }
    }
  }

  fileprivate mutating func exit(_ process: tap_process_key, at seconds: UInt64) {
    var record = tap_exit_record()
    record.process = process
    record.time_ns = seconds * 1_000_000_000
    exit(record)
  }

  fileprivate func ancestors(of process: KnownProcess) -> [String] {
    ancestorNames(of: process).map { String(decoding: $0, as: UTF8.self) }
  }
}

/// Numbers that no process of this machine has: the largest is 4194304.
@Suite struct ProcessTableTests {
  private let shell = key(5_000_001, from: 100, exec: 7)
  private let child = key(5_000_002, from: 200, exec: 7)

  private var table: ProcessTable {
    var table = ProcessTable()
    table.fork(shell, from: key(5_000_000, from: 1))
    table.execute(shell, "sh", under: key(5_000_000, from: 1))
    return table
  }

  @Test func aChildIsItsParentsCopy() {
    var table = table
    table.fork(child, from: shell, namespacePID: 17)
    let process = table.process(child)
    #expect(process.exe == .init("/bin/sh") && process.commandLine == .init("sh\0"))
    #expect(process.cgroup == .init("/a.service"))
    #expect(process.namespacePID == 17 && process.parent == 5_000_001)
    #expect(table.ancestors(of: process) == ["sh"])
  }

  @Test func anExecOfWhichNoRecordCame() {
    var table = table
    table.fork(child, from: shell)
    var process = table.process(child)
    process.frameID = 3
    table.update(process)
    let later = key(5_000_002, from: 200, exec: 8)
    process = table.process(later)
    // What it was is not what it is; whose child it is and where it stands are the same.
    #expect(process.exe.isEmpty && process.commandLine.isEmpty && process.frameID == nil)
    #expect(table.ancestors(of: process) == ["sh"] && process.cgroup == .init("/a.service"))
    #expect(table.takeEndedFrames() == [3])
    // Its children are no copies of the shell either.
    table.fork(key(5_000_003, from: 300, exec: 8), from: later)
    #expect(table.process(key(5_000_003, from: 300, exec: 8)).exe.isEmpty)
  }

  @Test func aLateRecordOfWhatItWasBefore() {
    var table = table
    table.execute(key(5_000_001, from: 100, exec: 8), "redis-cli", under: key(5_000_000, from: 1))
    #expect(table.process(shell).exe == .init("/bin/redis-cli"))
    #expect(table.process(key(5_000_001, from: 100, exec: 8)).exe == .init("/bin/redis-cli"))
  }

  @Test func lostExitsAreFound() {
    var table = table
    table.noteLostRecords()
    table.findExited(at: 10_000_000_000)
    #expect(table.known(5_000_001) != nil)
    table.forgetRetired(at: 11_000_000_000)
    #expect(table.known(5_000_001) == nil)
    table.scan()
    table.findExited(at: 12_000_000_000)
    table.forgetRetired(at: .max)
    #expect(table.known(getpid()) != nil)
  }

  /// Records of its connections come behind that of its exit.
  @Test func aProcessIsKnownForAMomentAfterItsEnd() {
    var table = table
    table.exit(shell, at: 10)
    var process = table.process(shell)
    #expect(process.exe == .init("/bin/sh"))
    process.frameID = 4
    table.update(process)
    table.forgetRetired(at: 10_999_999_999)
    #expect(table.takeEndedFrames() == [])
    table.exit(child, at: 11)
    #expect(table.takeEndedFrames() == [4] && table.known(5_000_001) == nil)
    // Nobody would forget it a second time.
    table.update(process)
    #expect(table.known(5_000_001) == nil)
  }

  @Test func aProcessThatNobodyKnewIsForgottenToo() {
    var table = ProcessTable()
    var process = table.process(child)
    process.frameID = 5
    table.update(process)
    table.forgetRetired(at: .max)
    #expect(table.takeEndedFrames() == [5])
  }

  @Test func aNumberThatIsGivenAgainAtOnce() {
    var table = table
    var process = table.process(shell)
    process.frameID = 6
    table.update(process)
    table.exit(shell, at: 10)
    let next = key(5_000_001, from: 300, exec: 1)
    table.fork(next, from: key(5_000_000, from: 1))
    table.execute(next, "another", under: key(5_000_000, from: 1))
    #expect(table.takeEndedFrames() == [6])
    table.forgetRetired(at: .max)
    #expect(table.process(next).exe == .init("/bin/another"))
  }

  @Test func parentsThatAreGone() {
    var table = table
    let middle = key(5_000_003, from: 150, exec: 7)
    table.fork(middle, from: shell)
    table.execute(key(5_000_003, from: 150, exec: 8), "middle", under: shell)
    table.fork(child, from: key(5_000_003, from: 150, exec: 8))
    table.exit(middle, at: 10)
    table.forgetRetired(at: .max)
    #expect(table.ancestors(of: table.process(child)) == ["middle", "sh"])
    // Another process with the number of the one that is gone is nobody's parent.
    table.fork(reborn(at: 400), from: key(5_000_000, from: 1))
    table.execute(reborn(at: 400), "stranger", under: key(5_000_000, from: 1))
    #expect(table.ancestors(of: table.process(child)) == ["middle", "sh"])
    #expect(table.process(child).parent == 5_000_003)
  }

  private func reborn(at seconds: UInt64) -> tap_process_key { key(5_000_003, from: seconds, exec: 1) }

  @Test func parentsThatBecameSomethingElse() {
    var table = table
    table.fork(child, from: shell)
    table.execute(key(5_000_001, from: 100, exec: 8), "server", under: key(5_000_000, from: 1))
    #expect(table.ancestors(of: table.process(child)) == ["server"])
    // A new program under the same parent.
    table.execute(key(5_000_002, from: 200, exec: 8), "redis-cli", under: key(5_000_001, from: 100, exec: 8))
    #expect(table.ancestors(of: table.process(key(5_000_002, from: 200, exec: 8))) == ["server"])
  }

  @Test func aLongLineOfDeadParents() {
    var table = table
    var parent = shell
    for number in UInt32(1)...100 {
      let next = key(5_000_100 + number, from: 1000 + UInt64(number), exec: 7)
      table.fork(next, from: parent)
      table.exit(parent, at: UInt64(number))
      parent = next
    }
    table.forgetRetired(at: .max)
    #expect(table.process(parent).ancestors.count == ProcessTable.maximumLineage)
    #expect(table.all.count == 1)
  }
}
