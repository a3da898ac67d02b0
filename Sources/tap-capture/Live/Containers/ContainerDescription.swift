// What people call a container, within bounds: all of it is text of strangers that will stand in every line of its processes.

struct ContainerDescription: Equatable, Sendable {
  /// Names, and the name of an image.
  static let maximumNameBytes = 1024

  var runtime: RuntimeName?
  var name: String?
  var image: String?
  /// `sha256:…`: of the image's configuration, or of its manifest where only that is known.
  var imageDigest: String?
  var pod: String?
  var podUID: String?
  /// The Kubernetes namespace of the pod.
  var namespace: String?
  /// IP addresses, where it has a network of its own.
  var addresses: [String] = []
  var labels = ContainerLabels()

  init(_ identity: ContainerIdentity) {
    runtime = identity.runtime
    podUID = identity.podUID
  }

  /// Text as it may stand here: nil where it is empty or too long.
  static func bounded(_ text: String?) -> String? {
    text.flatMap { $0.isEmpty || $0.utf8.count > maximumNameBytes ? nil : $0 }
  }
}

/// The labels of a container.
struct ContainerLabels: Equatable, Sendable {
  static let maximumCount = 64
  /// Of one, with its name.
  static let maximumLabelBytes = 1024
  /// Of all together.
  static let maximumBytes = 8192

  /// Sorted by name.
  private(set) var all: [(name: String, value: String)] = []
  /// Those that are too long, too many, or no text.
  private(set) var omitted = 0

  init() {}

  /// Reads the object that comes next; as many are kept as have room, from its beginning. `note` is told of each.
  init(_ text: inout JSONScanner, note: (_ name: String, _ value: String) -> Void = { _, _ in }) {
    var bytes = 0
    text.readObject { text, name in
      guard let name, let value = text.readString(limitBytes: Self.maximumLabelBytes) else {
        omitted += 1
        return
      }
      note(name, value)
      let length = name.utf8.count + value.utf8.count
      guard length <= Self.maximumLabelBytes, bytes + length <= Self.maximumBytes, all.count < Self.maximumCount,
        !all.contains(where: { $0.name == name })
      else {
        omitted += 1
        return
      }
      bytes += length
      all.append((name, value))
    }
    all.sort { $0.name < $1.name }
  }

  static func == (left: Self, right: Self) -> Bool {
    left.omitted == right.omitted && left.all.elementsEqual(right.all, by: ==)
  }
}
