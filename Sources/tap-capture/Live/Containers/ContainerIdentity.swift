// Which container a process is in, as its cgroup path tells: the kernel vouches for the path, no runtime has to be asked.

/// What made a container.
enum RuntimeName: String, Sendable {
  case docker
  case podman
  case containerd
  case crio = "cri-o"
}

/// A container by the id that its runtime gave it.
struct ContainerIdentity: Hashable, Sendable {
  var id: String
  /// nil where the path does not tell: Kubernetes' cgroupfs driver names only the pod and the container.
  var runtime: RuntimeName?
  /// The uid of its Kubernetes pod.
  var podUID: String?

  init(id: String, runtime: RuntimeName?, podUID: String? = nil) {
    self.id = id
    self.runtime = runtime
    self.podUID = podUID
  }

  /// Takes a path of /proc/PID/cgroup. Containers may be nested, and may make groups of their own: the innermost counts.
  init?(cgroupPath: some Sequence<UInt8>) {
    let components = String(decoding: Array(cgroupPath), as: UTF8.self).split(separator: "/")
    for index in components.indices.reversed() {
      let parent = index > 0 ? components[index - 1] : ""
      guard let (id, runtime) = ContainerIdentity.container(components[index], parent: parent) else { continue }
      self.id = id
      self.runtime = runtime
      podUID = components[...index].reversed().lazy.compactMap(ContainerIdentity.podUID).first
      return
    }
    return nil
  }

  /// What runtimes put in front of the id, with systemd's driver (`PREFIX-ID.scope`) and some without (`PREFIX-ID`).
  private static let prefixes: [(String, RuntimeName)] = [
    ("docker", .docker), ("libpod", .podman), ("libpod-payload", .podman), ("cri-containerd", .containerd),
    ("nerdctl", .containerd), ("crio", .crio),
  ]

  private static func container(_ component: Substring, parent: Substring) -> (String, RuntimeName?)? {
    let name = component.hasSuffix(".scope") ? component.dropLast(6) : component
    if isID(name) { return (String(name), parent == "docker" ? .docker : nil) }
    // containerd's cgroupfs driver given a path meant for systemd's: `SLICE:cri-containerd:ID`.
    let parts = name.split(separator: ":", omittingEmptySubsequences: false)
    let separator = parts.count == 3 ? nil : name.lastIndex(of: "-")
    let prefix = parts.count == 3 ? parts[1] : separator.map { name[..<$0] } ?? ""
    let id = parts.count == 3 ? parts[2] : separator.map { name[name.index(after: $0)...] } ?? ""
    // The monitors stand beside their containers, as `libpod-conmon-ID` and `crio-conmon-ID`: no prefix of ours.
    guard isID(id), let runtime = prefixes.first(where: { $0.0 == prefix })?.1 else { return nil }
    return (String(id), runtime)
  }

  /// The runtimes' own ids are 32 random bytes in lower-case hexadecimal.
  private static func isID(_ text: Substring) -> Bool {
    text.utf8.count == 64
      && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
  }

  /// `podUID` (cgroupfs) or `kubepods-QOS-podUID.slice` (systemd, which has `_` for `-`), below `kubepods`.
  private static func podUID(_ component: Substring) -> String? {
    var name = component.prefix { $0 != ":" }
    if name.hasSuffix(".slice") {
      guard name.hasPrefix("kubepods"), let last = name.dropLast(6).split(separator: "-").last else { return nil }
      name = last
    }
    guard name.hasPrefix("pod") else { return nil }
    // A UUID, or the 32 digits of a static pod's hash.
    let uid = name.dropFirst(3).map { $0 == "_" ? "-" : $0 }
    guard uid.count == 36 || uid.count == 32, uid.allSatisfy({ $0 == "-" || $0.isHexDigit }) else { return nil }
    return String(uid)
  }
}
