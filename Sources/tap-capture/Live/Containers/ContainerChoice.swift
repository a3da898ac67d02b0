// Which control groups are captured because of the containers that they are of: judged once each, and told to the kernel.
import Glibc

struct ContainerChoice {
  let filter: ContainerFilter
  private let verdicts: CgroupVerdicts
  /// The groups that are judged by a container's name: it may get another one.
  private var groups: [ContainerIdentity: Set<UInt64>] = [:]
  /// Containers and groups that are remembered; of more of them the verdicts stay as they are.
  private static let maximumContainers = 4096
  private static let maximumGroups = 64

  init(_ filter: ContainerFilter, _ verdicts: CgroupVerdicts) {
    self.filter = filter
    self.verdicts = verdicts
  }

  /// Judges the groups of the processes that run when the capture starts.
  mutating func judge(_ processes: [KnownProcess], _ description: (ContainerIdentity) -> ContainerDescription?) {
    let mount = Cgroup.mount(parsing: readFile("/proc/self/mountinfo") ?? [])
    for process in processes {
      var status = stat()
      guard let mount, stat(mount + String(decoding: process.cgroup, as: UTF8.self), &status) == 0 else { continue }
      _ = isChosen(process, process.container.flatMap(description), cgroup: UInt64(status.st_ino))
    }
    verdicts.begin()
  }

  /// Whether a process is captured. `description` is what is known of its container.
  mutating func isChosen(_ process: KnownProcess, _ description: ContainerDescription?, cgroup: UInt64) -> Bool {
    // A group that hierarchies of version 1 do not know as a container's may have processes of several, and of none.
    let isTold = !CgroupPlace.hasVersion1 || (process.place.isUnified && process.container != nil)
    guard let container = process.container else {
      if isTold { verdicts.set(cgroup, isKept: false) }
      return false
    }
    // Nothing is known but its id, which may be enough.
    let isChosen = filter.isChosen(container, description ?? ContainerDescription(container))
    guard isChosen || description != nil else { return false }
    guard isTold else { return isChosen }
    if groups[container] != nil || groups.count < Self.maximumContainers {
      if groups[container, default: []].count < Self.maximumGroups { groups[container, default: []].insert(cgroup) }
    }
    verdicts.set(cgroup, isKept: isChosen)
    return isChosen
  }

  /// Something new is known of a container.
  mutating func judgeAgain(_ container: ContainerIdentity, _ description: ContainerDescription) {
    for group in groups[container] ?? [] { verdicts.set(group, isKept: filter.isChosen(container, description)) }
  }

  /// A container is over.
  mutating func forget(_ container: ContainerIdentity) { groups[container] = nil }
}
