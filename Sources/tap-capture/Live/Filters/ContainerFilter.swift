// Which containers to capture, by what they are called. Names come later than bytes, so the answer may be: not known yet.

struct ContainerFilter: Equatable {
  /// Names, ids, images.
  var containers: [String] = []
  /// Of Kubernetes.
  var pods: [String] = []
  var namespaces: [String] = []

  /// What `docker ps` shows of an id is enough of it.
  private static let minimumIDBytes = 12

  var isEmpty: Bool { containers.isEmpty && pods.isEmpty && namespaces.isEmpty }

  /// One value of each kind that has any must fit.
  func isChosen(_ identity: ContainerIdentity, _ description: ContainerDescription) -> Bool {
    (containers.isEmpty || containers.contains { Self.fits($0, identity, description) })
      && (pods.isEmpty || pods.contains { $0 == description.pod })
      && (namespaces.isEmpty || namespaces.contains { $0 == description.namespace })
  }

  /// The values, as they stand on the command line, that fit none of these containers.
  func unmatched(_ known: [(ContainerIdentity, ContainerDescription)]) -> [String] {
    containers.filter { value in !known.contains { Self.fits(value, $0.0, $0.1) } }.map { "--container \($0)" }
      + pods.filter { value in !known.contains { $0.1.pod == value } }.map { "--pod \($0)" }
      + namespaces.filter { value in !known.contains { $0.1.namespace == value } }.map { "--namespace \($0)" }
  }

  private static func fits(
    _ value: String, _ identity: ContainerIdentity, _ description: ContainerDescription
  ) -> Bool {
    if value == description.name || value == identity.id { return true }
    if value.utf8.count >= minimumIDBytes, identity.id.hasPrefix(value) { return true }
    guard let image = description.image else { return false }
    return value == image || value == withoutTag(image)
  }

  /// `registry:5000/shop/web:7` is also `registry:5000/shop/web`.
  private static func withoutTag(_ image: String) -> String {
    guard let colon = image.lastIndex(of: ":"), !image[colon...].contains("/") else { return image }
    return String(image[..<colon])
  }
}
