// Which containers the filters choose.
import Testing

@testable import tap_capture

@Suite struct ContainerFilterTests {
  private static let identity = ContainerIdentity(id: String(repeating: "0123456789abcdef", count: 4), runtime: .docker)

  private func description(name: String?, image: String?, pod: String? = nil) -> ContainerDescription {
    var description = ContainerDescription(Self.identity)
    description.name = name
    description.image = image
    description.pod = pod
    return description
  }

  static let values: [(String, Bool)] = [
    ("web", true), ("we", false), ("registry:5000/shop/web:7", true), ("registry:5000/shop/web", true),
    ("registry", false), ("shop/web", false), ("0123456789ab", true), ("0123456789a", false), ("123456789abc", false),
    (String(repeating: "0123456789abcdef", count: 4), true), ("", false),
  ]

  @Test(arguments: values) func containers(_ value: String, _ isChosen: Bool) {
    let known = description(name: "web", image: "registry:5000/shop/web:7")
    let filter = ContainerFilter(containers: ["x", value])
    #expect(filter.isChosen(Self.identity, known) == isChosen)
    #expect(filter.unmatched([(Self.identity, known)]).count == (isChosen ? 1 : 2))
  }

  /// A port of a registry is no tag.
  @Test func anImageWithoutATag() {
    let known = description(name: nil, image: "registry:5000/shop/web")
    #expect(ContainerFilter(containers: ["registry:5000/shop/web"]).isChosen(Self.identity, known))
    #expect(!ContainerFilter(containers: ["registry"]).isChosen(Self.identity, known))
  }

  @Test func oneOfEachKindMustFit() {
    let known = description(name: "web", image: nil, pod: "shop-1")
    #expect(ContainerFilter(containers: ["web"], pods: ["shop-2", "shop-1"]).isChosen(Self.identity, known))
    #expect(!ContainerFilter(containers: ["web"], pods: ["shop-2"]).isChosen(Self.identity, known))
    #expect(!ContainerFilter(containers: ["web"], namespaces: ["prod"]).isChosen(Self.identity, known))
  }
}
