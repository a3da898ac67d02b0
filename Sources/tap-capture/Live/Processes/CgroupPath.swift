// Where a process stands in the control groups, and what that says of it.

/// The path of a process from /proc/PID/cgroup (cgroups(7)): in the unified hierarchy (`0::/…`), or where everything is at
/// its root (version 1) in that of systemd, or in the first that is used. nil if there is none.
func cgroupPath(parsing content: [UInt8]) -> [UInt8]? {
  var best: (rank: Int, path: [UInt8])?
  for line in content.split(separator: UInt8(ascii: "\n")) {
    let fields = line.split(separator: UInt8(ascii: ":"), maxSplits: 2, omittingEmptySubsequences: false)
    guard fields.count == 3 else { continue }
    let isAtRoot = fields[2].elementsEqual("/".utf8)
    let rank = fields[1].isEmpty ? 0 : fields[1].elementsEqual("name=systemd".utf8) ? 1 : 2
    let candidate = (rank: isAtRoot ? rank + 3 : rank, path: Array(fields[2]))
    if best.map({ candidate.rank < $0.rank }) ?? true { best = candidate }
  }
  return best?.path
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
