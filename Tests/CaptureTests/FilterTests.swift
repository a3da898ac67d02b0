// Filters: what the command line takes, and what it becomes for the kernel program.
import CaptureRecords
import Testing

@testable import tap_capture

@Suite struct FilterTests {
  @Test(arguments: [
    ("redis", [FilterProtocol.redis]), ("http,redis", [.http, .redis]), ("any", []), ("redis,any", []),
  ])
  func protocols(text: String, expected: [FilterProtocol]) throws {
    #expect(try FilterOptions.protocols(text) == expected)
  }

  @Test(arguments: ["", "redis,", "Redis", "gopher", "redis http"])
  func noProtocols(text: String) {
    #expect(throws: (any Error).self) { try FilterOptions.protocols(text) }
  }

  @Test func tooMany() {
    let ports = (1...65).flatMap { ["--port", "\($0)"] }
    #expect(throws: (any Error).self) { try FilterOptions.parse(ports) }
    #expect(throws: Never.self) { try FilterOptions.parse(Array(ports.dropLast(2))) }
    let names = (1...17).flatMap { ["--comm", "n\($0)"] }
    #expect(throws: (any Error).self) { try FilterOptions.parse(names) }
    #expect(throws: Never.self) { try FilterOptions.parse(Array(names.dropLast(2))) }
  }

  @Test func theKernelKeeps15BytesOfAName() throws {
    #expect(try FilterOptions.comm("fifteen-bytes--").bytes.count == 15)
    #expect(throws: (any Error).self) { try FilterOptions.comm("sixteen-bytes---") }
    #expect(throws: (any Error).self) { try FilterOptions.comm("") }
  }

  @Test func settingsOfTheKernelProgram() throws {
    var filters = ResolvedFilters()
    filters.protocols = [.redis, .http]
    filters.ports = [6379, 80]
    filters.direction = .ingress
    filters.comms = [ProcessName(bytes: Array("redis-server".utf8))]
    filters.users = [0, 999]
    let record = tap_settings(
      KernelSettings(ringBytes: 256 << 10, filters: filters, filtersByProcess: true, bytesPerCallMaximum: 100))
    #expect(UInt32(record.filter_protocols) == TAP_PROTOCOL_REDIS.rawValue | TAP_PROTOCOL_HTTP.rawValue)
    #expect(record.filter_port_count == 2)
    #expect(record.filter_ports.0 == 6379 && record.filter_ports.1 == 80)
    #expect(UInt32(record.filter_role) == TAP_ROLE_SERVER.rawValue)
    #expect(record.filter_user_count == 2)
    #expect(record.filter_users.0 == 0 && record.filter_users.1 == 999)
    #expect(record.filter_comm_count == 1)
    withUnsafeBytes(of: record.filter_comms.0) {
      #expect($0.elementsEqual(Array("redis-server".utf8) + [0, 0, 0, 0]))
    }
    #expect(record.filter_by_process == 1)
    #expect(record.max_bytes == 100)
    #expect(record.wakeup_bytes == 32 << 10)
    // A ring as small as this is filled by small records, too.
    #expect(record.wakeup_record_bytes == 0)
  }

  /// proc_pid_mountinfo(5), the example of the manual page, and a hybrid system.
  private static let mounts = Array(
    """
    36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
    40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
    41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
    42 31 259:65537 / /data rw - btrfs /dev/x rw

    """.utf8)

  @Test func whereTheUnifiedHierarchyIs() {
    #expect(Cgroup.mount(parsing: Self.mounts) == "/sys/fs/cgroup/unified")
    #expect(Cgroup.mount(parsing: Array("1 2 0:1 / /x rw - ext4 cgroup2 rw".utf8)) == nil)
    #expect(Cgroup.mount(parsing: Array("- cgroup2\n - - -\n\n".utf8)) == nil)
  }

  @Test(arguments: [("36", 98 << 20), ("42", 259 << 20 | 65537), ("3", nil), ("", nil)] as [(Substring, UInt32?)])
  func devicesOfMounts(mount: Substring, device: UInt32?) {
    #expect(ProgramFile.superblockDevice(ofMount: mount, inMountTable: Self.mounts) == device)
  }

  @Test func aProgramsFile() throws {
    let shell = try ProgramFile(path: "/bin/sh")
    #expect(shell.inode != 0)
    #expect(throws: CaptureFailure.self) { try ProgramFile(path: "/no/such/program") }
    #expect(throws: CaptureFailure.self) { try ProgramFile(path: "/") }
  }
}
