// Finds out what a container is called, from the state that its runtime keeps on disk: found through the process that keeps
// the container, so wherever that state is, and without asking a daemon that may be hung, missing or lying.
import Glibc

/// A file that tells when it has to be read again.
struct WatchedFile: Equatable, Sendable {
  var path: String
  var stamp: FileStamp
}

struct ContainerQuestion: Sendable {
  var identity: ContainerIdentity
  /// The process outside of the container that keeps it: containerd's shim, or conmon.
  var keeper: Int32
  /// A process in it.
  var member: Int32
  /// What the last answer came from: as long as it is the same there is nothing new.
  var known: WatchedFile?
}

struct ContainerAnswer: Sendable {
  enum Outcome: Sendable {
    case found(ContainerDescription, ContainerUsers, WatchedFile?)
    case unchanged
    /// Nobody keeps the container any more.
    case gone
  }
  var identity: ContainerIdentity
  var outcome: Outcome
}

/// One lookup, on a thread that may take its time.
struct ContainerLookup: ~Copyable {
  /// Of a runtime's file: a Docker container with a 10 MiB label is still named.
  static let maximumFileBytes = 16 << 20

  private let question: ContainerQuestion
  private let root: ForeignRoot
  private var watched: WatchedFile?

  static func answer(_ question: ContainerQuestion) -> ContainerAnswer {
    guard let root = ForeignRoot(of: question.keeper) else {
      return ContainerAnswer(identity: question.identity, outcome: .gone)
    }
    if let known = question.known, root.stamp(known.path) == known.stamp {
      return ContainerAnswer(identity: question.identity, outcome: .unchanged)
    }
    var lookup = ContainerLookup(question: question, root: root)
    return ContainerAnswer(identity: question.identity, outcome: lookup.find())
  }

  private init(question: ContainerQuestion, root: consuming ForeignRoot) {
    self.question = question
    self.root = root
  }

  private mutating func find() -> ContainerAnswer.Outcome {
    var description = ContainerDescription(question.identity)
    let conmon = Conmon(commandLine: readFile("/proc/\(question.keeper)/cmdline") ?? [])
    let bundle = conmon?.bundle ?? shimBundle()
    var configuration: BundleConfiguration?
    if let bundle { configuration = read("\(bundle)/config.json", BundleConfiguration.self) }
    if let configuration { describe(&description, from: configuration) }
    if let conmon {
      if description.pod == nil, description.runtime == nil { description.runtime = .podman }
      describe(&description, conmon)
    } else if let configuration, let folder = dockerContainers(configuration) {
      description.runtime = .docker
      describe(&description, dockerFile: "\(folder)/\(question.identity.id)/config.v2.json")
    } else {
      description.runtime = description.runtime ?? .containerd
    }
    description.addresses = NetworkAddresses.of(question.member)
    return .found(description, users(bundle, configuration), watched)
  }

  private func read<Value: Decodable>(_ path: String, _ type: Value.Type) -> Value? {
    root.read(path, limitBytes: Self.maximumFileBytes).flatMap { decodeJSON(type, $0.content) }
  }

  private mutating func readWatched<Value: Decodable>(_ path: String, _ type: Value.Type) -> Value? {
    guard let (content, stamp) = root.read(path, limitBytes: Self.maximumFileBytes) else { return nil }
    watched = WatchedFile(path: path, stamp: stamp)
    return decodeJSON(type, content)
  }

  // MARK: containerd

  /// A shim works in the bundle of its first container; those of the others of a pod lie beside it.
  private func shimBundle() -> String? {
    guard let folder = readLink("/proc/\(question.keeper)/cwd"), let slash = folder.lastIndex(of: UInt8(ascii: "/"))
    else { return nil }
    return String(decoding: folder[..<slash], as: UTF8.self) + "/" + question.identity.id
  }

  private func describe(_ description: inout ContainerDescription, from configuration: BundleConfiguration) {
    describeKubernetes(&description) { configuration.annotation($0) }
    if description.name == nil {
      // Without one of the runtimes' random ids, containerd's own tools use the name as the id.
      let isNamed = question.identity.id.utf8.count != 64
      description.name = ContainerDescription.bounded(
        configuration.annotation("nerdctl/name") ?? (isNamed ? question.identity.id : nil))
    }
    let labels = configuration.annotation("io.kubernetes.cri-o.Labels")
    if let labels = labels.flatMap({ decodeJSON([String: Lenient<String>].self, Array($0.utf8)) }) {
      description.setLabels(labels)
    }
  }

  /// What kubelet, containerd's CRI plugin and CRI-O write into annotations, and dockershim wrote into labels.
  private func describeKubernetes(_ description: inout ContainerDescription, _ annotation: (String) -> String?) {
    func first(_ names: String...) -> String? {
      for name in names {
        if let text = ContainerDescription.bounded(annotation(name)) { return text }
      }
      return nil
    }
    description.name = first("io.kubernetes.cri.container-name", "io.kubernetes.container.name") ?? description.name
    description.pod = first("io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name") ?? description.pod
    description.namespace =
      first("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace") ?? description.namespace
    description.podUID = first("io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid") ?? description.podUID
    description.image = first("io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName") ?? description.image
    description.imageDigest = first("io.kubernetes.cri-o.ImageRef") ?? description.imageDigest
  }

  // MARK: Docker

  /// The folder of all containers below Docker's data root: it gives each one its /etc/hosts and others from there.
  private func dockerContainers(_ configuration: BundleConfiguration) -> String? {
    for mount in configuration.mounts?.value ?? [] {
      guard let target = mount.destination?.value, let source = mount.source?.value,
        ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"].contains(target)
      else { continue }
      // …/containers/ID/hosts; the id is another one where the network is another container's.
      let parts = source.split(separator: "/", omittingEmptySubsequences: false)
      guard parts.count > 3, parts[parts.count - 3] == "containers" else { continue }
      return parts.dropLast(2).joined(separator: "/")
    }
    return nil
  }

  private mutating func describe(_ description: inout ContainerDescription, dockerFile path: String) {
    guard let docker = readWatched(path, DockerConfiguration.self) else { return }
    description.name = ContainerDescription.bounded(
      docker.name?.value.map { $0.hasPrefix("/") ? String($0.dropFirst()) : $0 })
    description.image = ContainerDescription.bounded(docker.settings?.value?.image?.value)
    description.imageDigest = ContainerDescription.bounded(docker.imageDigest?.value)
    let labels = docker.settings?.value?.labels?.value ?? [:]
    description.setLabels(labels)
    describeKubernetes(&description) { labels[$0]?.value }
  }

  // MARK: Podman and CRI-O

  private mutating func describe(_ description: inout ContainerDescription, _ conmon: Conmon) {
    guard description.pod == nil else { return }
    description.name = ContainerDescription.bounded(conmon.name)
    // STORE/…-containers/ID/userdata: the list of all of them lies beside their folders, and knows of renaming.
    let parts = (conmon.bundle ?? "").split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count > 2,
      let all = readWatched(
        parts.dropLast(2).joined(separator: "/") + "/containers.json", [StoredContainer].self),
      let stored = all.first(where: { $0.id?.value == question.identity.id })
    else { return }
    description.name = ContainerDescription.bounded(stored.names?.value?.first) ?? description.name
    description.imageDigest = ContainerDescription.bounded(stored.image?.value.map { "sha256:\($0)" })
    let metadata = stored.metadata?.value.flatMap { decodeJSON(StoredContainer.Metadata.self, Array($0.utf8)) }
    description.image = ContainerDescription.bounded(metadata?.imageName?.value)
  }

  // MARK: Users

  private func users(_ bundle: String?, _ configuration: BundleConfiguration?) -> ContainerUsers {
    let path = "/etc/passwd"
    let limit = ContainerUsers.maximumFileBytes
    let memberRoot = ForeignRoot(of: question.member)
    var passwd = memberRoot?.read(path, limitBytes: limit)?.content
    // Its processes may be gone, and its root not yet: a path from the bundle.
    if passwd == nil, let bundle, let folder = configuration?.root?.value?.path?.value {
      passwd = root.read((folder.hasPrefix("/") ? folder : "\(bundle)/\(folder)") + path, limitBytes: limit)?.content
    }
    let map = readFile("/proc/\(question.member)/uid_map") ?? Array("0 0 4294967295".utf8)
    return ContainerUsers(passwd: passwd ?? [], uidMap: map)
  }
}

/// What the command line of conmon(8) tells of its container.
struct Conmon {
  var name: String?
  var bundle: String?

  /// nil if the program is another one.
  init?(commandLine: [UInt8]) {
    let arguments = splitArguments(commandLine).map { String(decoding: $0, as: UTF8.self) }
    guard arguments.first?.split(separator: "/").last == "conmon" else { return nil }
    func value(_ options: String...) -> String? {
      guard let index = arguments.firstIndex(where: { options.contains($0) }), index + 1 < arguments.count
      else { return nil }
      return arguments[index + 1]
    }
    name = value("-n", "--name")
    bundle = value("-b", "--bundle")
  }
}
