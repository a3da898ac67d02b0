// What people call a container, within bounds: all of it is text of strangers that will stand in every line of its processes.

struct ContainerDescription: Equatable, Sendable {
  /// Names, and the name of an image.
  static let maximumNameBytes = 1024
  static let maximumLabels = 64
  static let maximumLabelBytes = 1024
  /// Of all labels together.
  static let maximumLabelsBytes = 8192

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
  /// Sorted by name.
  private(set) var labels: [(name: String, value: String)] = []
  /// Labels that are too long, or too many.
  private(set) var omittedLabels = 0

  init(_ identity: ContainerIdentity) {
    runtime = identity.runtime
    podUID = identity.podUID
  }

  mutating func setLabels(_ all: [String: Lenient<String>]) {
    var bytes = 0
    labels = []
    omittedLabels = 0
    for (name, text) in all.sorted(by: { $0.key < $1.key }) {
      let value = text.value ?? ""
      let length = name.utf8.count + value.utf8.count
      guard length <= Self.maximumLabelBytes, bytes + length <= Self.maximumLabelsBytes,
        labels.count < Self.maximumLabels
      else {
        omittedLabels += 1
        continue
      }
      bytes += length
      labels.append((name, value))
    }
  }

  /// Text as it may stand here: nil where it is empty or too long.
  static func bounded(_ text: String?) -> String? {
    text.flatMap { $0.isEmpty || $0.utf8.count > maximumNameBytes ? nil : $0 }
  }

  static func == (left: Self, right: Self) -> Bool {
    left.runtime == right.runtime && left.name == right.name && left.image == right.image
      && left.imageDigest == right.imageDigest && left.pod == right.pod && left.podUID == right.podUID
      && left.namespace == right.namespace && left.omittedLabels == right.omittedLabels
      && left.addresses == right.addresses
      && left.labels.elementsEqual(right.labels, by: ==)
  }
}
