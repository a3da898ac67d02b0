// The files in which runtimes keep what their containers are, as far as it is of use here. All of it is a stranger's: a
// member of another type than expected, or longer than it may be, is as good as none.

/// `config.json` of an OCI bundle (OCI runtime specification, "Configuration").
struct BundleConfiguration {
  /// PATH_MAX.
  private static let maximumPathBytes = 4096
  /// Of the labels of a pod's container, which Kubernetes bounds to a few kilobytes.
  private static let maximumNestedBytes = 64 << 10

  private(set) var rootPath: String?
  /// Those that are asked for here.
  private(set) var annotations: [String: String] = [:]
  /// JSON in a string.
  private(set) var crioLabels = ContainerLabels()
  /// The folder of all containers below Docker's data root.
  private(set) var dockerContainers: String?

  init(_ text: inout JSONScanner) {
    text.readObject { text, name in
      switch name {
      case "root":
        text.readObject { text, name in
          if name == "path" { rootPath = text.readString(limitBytes: Self.maximumPathBytes) }
        }
      case "annotations":
        text.readObject { text, name in
          guard let name else { return }
          if name == "io.kubernetes.cri-o.Labels", let labels = text.readString(limitBytes: Self.maximumNestedBytes) {
            var nested = JSONScanner(Array(labels.utf8))
            crioLabels = ContainerLabels(&nested)
          } else if KubernetesName.all.contains(name) || name == "nerdctl/name" {
            annotations[name] = text.readString(limitBytes: ContainerDescription.maximumNameBytes)
          }
        }
      case "mounts":
        text.readArray { readMount(&$0) }
      default:
        break
      }
    }
  }

  /// Docker gives each container its /etc/hosts and others from its own folder.
  private mutating func readMount(_ text: inout JSONScanner) {
    var destination: String?
    var source: String?
    text.readObject { text, name in
      switch name {
      case "destination": destination = text.readString(limitBytes: Self.maximumPathBytes)
      case "source": source = text.readString(limitBytes: Self.maximumPathBytes)
      default: break
      }
    }
    guard dockerContainers == nil, let destination, let source,
      ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"].contains(destination)
    else { return }
    // …/containers/ID/hosts; the id is another one where the network is another container's.
    let parts = source.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count > 3, parts[parts.count - 3] == "containers" else { return }
    dockerContainers = parts.dropLast(2).joined(separator: "/")
  }
}

/// What kubelet, containerd's CRI plugin and CRI-O write into annotations, and dockershim wrote into labels.
enum KubernetesName {
  static let container = ["io.kubernetes.cri.container-name", "io.kubernetes.container.name"]
  static let pod = ["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]
  static let namespace = ["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]
  static let podUID = ["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"]
  static let image = ["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"]
  static let imageReference = ["io.kubernetes.cri-o.ImageRef"]

  static let all = Set(container + pod + namespace + podUID + image + imageReference)
}

/// `config.v2.json` of a Docker container, below the daemon's data root.
struct DockerConfiguration {
  private(set) var name: String?
  private(set) var image: String?
  /// The digest of the image's configuration: `sha256:…`.
  private(set) var imageDigest: String?
  private(set) var labels = ContainerLabels()
  /// Those of the labels that are Kubernetes'.
  private(set) var kubernetes: [String: String] = [:]

  init(_ text: inout JSONScanner) {
    let limit = ContainerDescription.maximumNameBytes
    text.readObject { text, name in
      switch name {
      case "Name": self.name = text.readString(limitBytes: limit)
      case "Image": imageDigest = text.readString(limitBytes: limit)
      case "Config":
        text.readObject { text, name in
          switch name {
          case "Image": image = text.readString(limitBytes: limit)
          case "Labels":
            labels = ContainerLabels(&text) { name, value in
              if KubernetesName.all.contains(name) { kubernetes[name] = value }
            }
          default: break
          }
        }
      default: break
      }
    }
  }
}

/// An entry of `containers.json`, where the storage library of Podman and CRI-O lists containers.
struct StoredContainer {
  private static let maximumMetadataBytes = 64 << 10

  private(set) var name: String?
  /// The digest of the image's configuration, without the name of the hash.
  private(set) var image: String?
  private(set) var imageName: String?

  /// nil where the list has no such container.
  init?(id wanted: String, in text: inout JSONScanner) {
    var found: StoredContainer?
    text.readArray { text in
      guard found == nil else { return }
      var entry = StoredContainer()
      if entry.read(&text) == wanted { found = entry }
    }
    guard let found else { return nil }
    self = found
  }

  private init() {}

  /// Returns the id.
  private mutating func read(_ text: inout JSONScanner) -> String? {
    let limit = ContainerDescription.maximumNameBytes
    var id: String?
    text.readObject { text, name in
      switch name {
      case "id": id = text.readString(limitBytes: limit)
      case "names": text.readArray { if self.name == nil { self.name = $0.readString(limitBytes: limit) } }
      case "image": image = text.readString(limitBytes: limit)
      case "metadata":
        // JSON in a string.
        guard let metadata = text.readString(limitBytes: Self.maximumMetadataBytes) else { return }
        var nested = JSONScanner(Array(metadata.utf8))
        nested.readObject { text, name in
          if name == "image-name" { imageName = text.readString(limitBytes: limit) }
        }
      default: break
      }
    }
    return id
  }
}
