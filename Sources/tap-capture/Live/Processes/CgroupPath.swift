// Where a process stands in the control groups, and what that says of it.

struct CgroupPlace: Equatable {
  /// Empty where it is not known.
  private(set) var path: [UInt8] = []
  var container: ContainerIdentity?
  /// Whether it is the path in the unified hierarchy, the one that the kernel program sees.
  private(set) var isUnified = false
  /// At the root of all hierarchies of version 1, as every process is that has exited.
  private var isExitedInVersion1 = false

  /// Whether there are hierarchies of version 1, alone or beside the unified one.
  static let hasVersion1 = lines(of: readFile("/proc/self/cgroup") ?? []).contains { !$0.isUnified }

  init() {}

  /// A path in the unified hierarchy.
  init(unified path: [UInt8]) {
    self.path = path
    container = ContainerIdentity(cgroupPath: path)
    isUnified = true
  }

  /// Takes the content of /proc/PID/cgroup (cgroups(7)). The place in the unified hierarchy counts (`0::/…`), or where everything is
  /// at its root (version 1) that of systemd, or the first one that is used. But where that one names no container and another one
  /// does, that other one counts: beside version 1 a runtime may put its containers there only. nil if there is none.
  init?(parsing content: [UInt8]) {
    let lines = Self.lines(of: content).sorted { $0.rank < $1.rank }
    guard let first = lines.first else { return nil }
    let told = lines.lazy.compactMap { line in ContainerIdentity(cgroupPath: line.path).map { (line, $0) } }.first
    let line = told?.0 ?? first
    path = line.path
    container = told?.1
    isUnified = line.isUnified
    let version1 = lines.filter { !$0.isUnified }
    isExitedInVersion1 = !version1.isEmpty && version1.allSatisfy(\.isAtRoot)
  }

  /// What is the case after `known`, if this is what /proc says now: of a process that has exited it knows nothing in version 1.
  func after(_ known: CgroupPlace) -> CgroupPlace {
    isExitedInVersion1 && container == nil && !known.path.isEmpty && !known.isUnified ? known : self
  }

  private struct Line {
    var path: [UInt8]
    var isUnified: Bool
    var isAtRoot: Bool
    /// The lowest one counts.
    var rank: Int
  }

  private static func lines(of content: [UInt8]) -> [Line] {
    content.split(separator: UInt8(ascii: "\n")).compactMap { line in
      let fields = line.split(separator: UInt8(ascii: ":"), maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { return nil }
      let isAtRoot = fields[2].elementsEqual("/".utf8)
      let rank = fields[1].isEmpty ? 0 : fields[1].elementsEqual("name=systemd".utf8) ? 1 : 2
      return Line(
        path: Array(fields[2]), isUnified: fields[1].isEmpty, isAtRoot: isAtRoot, rank: isAtRoot ? rank + 3 : rank)
    }
  }
}

/// The systemd unit that the path lies in: the innermost service, or scope (a login session is `session-2.scope`). A
/// container's scope is none.
func systemdUnit(cgroupPath: [UInt8]) -> [UInt8]? {
  for component in cgroupPath.split(separator: UInt8(ascii: "/")).reversed() {
    guard component.suffix(8).elementsEqual(".service".utf8) || component.suffix(6).elementsEqual(".scope".utf8)
    else { continue }
    return ContainerIdentity(cgroupPath: component) == nil ? Array(component) : nil
  }
  return nil
}
