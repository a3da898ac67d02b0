// The files in which runtimes keep what their containers are, as far as it is of use here. All of it is a stranger's: a
// member of another type than expected is as good as none.
import FoundationEssentials

/// A value that may be of another type than expected; then it is nil.
struct Lenient<Value: Decodable>: Decodable {
  var value: Value?

  init(from decoder: any Decoder) { value = try? Value(from: decoder) }
}

/// `config.json` of an OCI bundle (OCI runtime specification, "Configuration").
struct BundleConfiguration: Decodable {
  struct Mount: Decodable {
    var destination: Lenient<String>?
    var source: Lenient<String>?
  }
  struct Root: Decodable {
    var path: Lenient<String>?
  }
  var root: Lenient<Root>?
  var mounts: Lenient<[Mount]>?
  var annotations: Lenient<[String: Lenient<String>]>?

  func annotation(_ name: String) -> String? { annotations?.value?[name]?.value }
}

/// `config.v2.json` of a Docker container, below the daemon's data root.
struct DockerConfiguration: Decodable {
  struct Settings: Decodable {
    var image: Lenient<String>?
    var labels: Lenient<[String: Lenient<String>]>?

    enum CodingKeys: String, CodingKey {
      case image = "Image"
      case labels = "Labels"
    }
  }
  var name: Lenient<String>?
  /// The digest of the image's configuration: `sha256:…`.
  var imageDigest: Lenient<String>?
  var settings: Lenient<Settings>?

  enum CodingKeys: String, CodingKey {
    case name = "Name"
    case imageDigest = "Image"
    case settings = "Config"
  }
}

/// An entry of `containers.json`, where the storage library of Podman and CRI-O lists containers.
struct StoredContainer: Decodable {
  /// JSON in a string.
  struct Metadata: Decodable {
    var imageName: Lenient<String>?

    enum CodingKeys: String, CodingKey {
      case imageName = "image-name"
    }
  }
  var id: Lenient<String>?
  var names: Lenient<[String]>?
  /// The digest of the image's configuration, without the name of the hash.
  var image: Lenient<String>?
  var metadata: Lenient<String>?
}

/// The value that a file holds; nil if it is no such JSON.
func decodeJSON<Value: Decodable>(_ type: Value.Type, _ content: [UInt8]) -> Value? {
  try? JSONDecoder().decode(type, from: Data(content))
}
