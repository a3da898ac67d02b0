// Finds out what a container is called, from the state that its runtime keeps on disk: found through the process that keeps
// the container, so wherever that state is, and without asking a daemon that may be hung, missing or lying.
import Glibc

/// A file that tells when it has to be read again.
struct WatchedFile: Equatable, Sendable {
  var path: String
  var stamp: FileStamp
}

/// The process outside of a container that keeps it: containerd's shim, or conmon.
struct ContainerKeeper: Hashable, Sendable {
  var pid: Int32
  var startTicks: UInt64
}

struct ContainerQuestion: Sendable {
  var identity: ContainerIdentity
  var keeper: ContainerKeeper
  /// A process in it.
  var member: Int32
  /// What the last answer came from: as long as it is the same there is nothing new.
  var known: WatchedFile?
}

struct ContainerAnswer: Sendable {
  enum Outcome: Sendable {
    /// The users are nil where they cannot be read.
    case found(ContainerDescription, ContainerUsers?, WatchedFile?)
    case unchanged
    /// The keeper has ended.
    case gone
  }
  var identity: ContainerIdentity
  var outcome: Outcome
  /// nil where they cannot be read.
  var addresses: [String]?
  /// What the answer took of a processor's time.
  var costNanoseconds: UInt64 = 0
}

/// One lookup, on a thread that may take its time.
struct ContainerLookup: ~Copyable {
  /// Of a runtime's file: a Docker container with a 10 MiB label is still named.
  static let maximumFileBytes = 16 << 20
  /// Of a keeper's command line.
  private static let maximumCommandLineBytes = 64 << 10

  private let question: ContainerQuestion
  private let root: ForeignRoot
  private var watched: WatchedFile?

  static func answer(_ question: ContainerQuestion) -> ContainerAnswer {
    // The number may be another process's by now; that is looked at when its root is open.
    guard let root = ForeignRoot(of: question.keeper.pid),
      ProcessStatus.read(question.keeper.pid)?.startTicks == question.keeper.startTicks
    else { return ContainerAnswer(identity: question.identity, outcome: .gone) }
    let addresses = NetworkAddresses.of(question.member)
    if let known = question.known, root.stamp(known.path) == known.stamp {
      return ContainerAnswer(identity: question.identity, outcome: .unchanged, addresses: addresses)
    }
    var lookup = ContainerLookup(question: question, root: root)
    return ContainerAnswer(identity: question.identity, outcome: lookup.find(), addresses: addresses)
  }

  private init(question: ContainerQuestion, root: consuming ForeignRoot) {
    self.question = question
    self.root = root
  }

  private mutating func find() -> ContainerAnswer.Outcome {
    var description = ContainerDescription(question.identity)
    let conmon = Conmon(
      commandLine: readFile("/proc/\(question.keeper.pid)/cmdline", limitBytes: Self.maximumCommandLineBytes) ?? [])
    let bundle = conmon?.bundle ?? shimBundle()
    let configuration = bundle.flatMap { scan("\($0)/config.json") { BundleConfiguration(&$0) } }
    if let configuration { describe(&description, from: configuration) }
    if let conmon {
      if description.pod == nil, description.runtime == nil { description.runtime = .podman }
      describe(&description, conmon)
    } else if let folder = configuration?.dockerContainers {
      description.runtime = .docker
      describe(&description, dockerFile: "\(folder)/\(question.identity.id)/config.v2.json")
    } else {
      description.runtime = description.runtime ?? .containerd
    }
    return .found(description, users(bundle, configuration), watched)
  }

  /// What `read` finds in a file of JSON. The last one that is there is looked at again later.
  private mutating func scan<Value>(_ path: String, _ read: (inout JSONScanner) -> Value?) -> Value? {
    guard let file = root.open(path, limitBytes: Self.maximumFileBytes) else { return nil }
    watched = WatchedFile(path: path, stamp: file.stamp)
    var text = JSONScanner(descriptor: file.descriptor, limitBytes: Self.maximumFileBytes)
    let value = read(&text)
    return text.isMalformed ? nil : value
  }

  // MARK: containerd

  /// A shim works in the bundle of its first container; those of the others of a pod lie beside it.
  private func shimBundle() -> String? {
    guard let folder = readLink("/proc/\(question.keeper.pid)/cwd"), let slash = folder.lastIndex(of: UInt8(ascii: "/"))
    else { return nil }
    return String(decoding: folder[..<slash], as: UTF8.self) + "/" + question.identity.id
  }

  private func describe(_ description: inout ContainerDescription, from configuration: BundleConfiguration) {
    describe(&description, kubernetes: configuration.annotations)
    if description.name == nil {
      // Without one of the runtimes' random ids, containerd's own tools use the name as the id.
      let isNamed = question.identity.id.utf8.count != 64
      description.name = ContainerDescription.bounded(
        configuration.annotations["nerdctl/name"] ?? (isNamed ? question.identity.id : nil))
    }
    description.labels = configuration.crioLabels
  }

  private func describe(_ description: inout ContainerDescription, kubernetes annotations: [String: String]) {
    func first(_ names: [String]) -> String? {
      names.lazy.compactMap { ContainerDescription.bounded(annotations[$0]) }.first
    }
    description.name = first(KubernetesName.container) ?? description.name
    description.pod = first(KubernetesName.pod) ?? description.pod
    description.namespace = first(KubernetesName.namespace) ?? description.namespace
    description.podUID = first(KubernetesName.podUID) ?? description.podUID
    description.image = first(KubernetesName.image) ?? description.image
    description.imageDigest = first(KubernetesName.imageReference).flatMap(imageDigest(inReference:))
  }

  // MARK: Docker

  private mutating func describe(_ description: inout ContainerDescription, dockerFile path: String) {
    guard let docker = scan(path, { DockerConfiguration(&$0) }) else { return }
    description.name = ContainerDescription.bounded(
      docker.name.map { $0.hasPrefix("/") ? String($0.dropFirst()) : $0 })
    description.image = ContainerDescription.bounded(docker.image)
    description.labels = docker.labels
    describe(&description, kubernetes: docker.kubernetes)
    description.imageDigest = ContainerDescription.bounded(docker.imageDigest)
  }

  // MARK: Podman and CRI-O

  private mutating func describe(_ description: inout ContainerDescription, _ conmon: Conmon) {
    guard description.pod == nil else { return }
    description.name = ContainerDescription.bounded(conmon.name)
    // STORE/…-containers/ID/userdata: the list of all of them lies beside their folders, and knows of renaming.
    let parts = (conmon.bundle ?? "").split(separator: "/", omittingEmptySubsequences: false)
    let id = question.identity.id
    guard parts.count > 2,
      let stored = scan(
        parts.dropLast(2).joined(separator: "/") + "/containers.json",
        { StoredContainer(id: id, in: &$0) })
    else { return }
    description.name = ContainerDescription.bounded(stored.name) ?? description.name
    description.imageDigest = ContainerDescription.bounded(stored.image.map { "sha256:\($0)" })
    description.image = ContainerDescription.bounded(stored.imageName)
  }

  // MARK: Users

  private func users(_ bundle: String?, _ configuration: BundleConfiguration?) -> ContainerUsers? {
    let path = "/etc/passwd"
    var passwd: [UInt8]?
    // A runtime's first process still has its keeper's root for a moment.
    if let inside = ForeignRoot(of: question.member), !inside.isSame(as: root) {
      passwd = inside.content(path, limitBytes: ContainerUsers.maximumFileBytes)
    }
    // Its processes may be gone, and its root not yet: a path from the bundle.
    if passwd == nil, let bundle, let folder = configuration?.rootPath {
      passwd = root.content(
        (folder.hasPrefix("/") ? folder : "\(bundle)/\(folder)") + path, limitBytes: ContainerUsers.maximumFileBytes)
    }
    let map = readFile("/proc/\(question.member)/uid_map") ?? Array("0 0 4294967295".utf8)
    return passwd.map { ContainerUsers(passwd: $0, uidMap: map) }
  }
}

/// The digest in CRI-O's reference to an image: `sha256:…`, only its digits, or behind a name, `NAME@sha256:…`.
func imageDigest(inReference reference: String) -> String? {
  let digest = reference.lastIndex(of: "@").map { reference[reference.index(after: $0)...] } ?? reference[...]
  let digits = digest.hasPrefix("sha256:") ? digest.dropFirst(7) : digest
  guard digits.utf8.count == 64, digits.allSatisfy(\.isHexDigit) else { return nil }
  return "sha256:\(digits)"
}

/// What the command line of conmon(8) tells of its container.
struct Conmon {
  var name: String?
  var bundle: String?
  /// Whether it keeps only a command that was started in a container which another one keeps (`podman exec`, a health check).
  var isOfExec: Bool

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
    isOfExec = arguments.contains { ["-e", "--exec", "--exec-attach", "--exec-process-spec"].contains($0) }
  }
}
