// The container runtimes of this machine, by the sockets at which they answer.
import CaptureSystem
import Glibc
import TapWire

struct ContainerRuntime {
  var name: String
  var socket: String
  /// Why it cannot be asked, if so.
  var problem: String?

  private static let sockets = [
    ("Docker", "/run/docker.sock"), ("containerd", "/run/containerd/containerd.sock"),
    ("containerd of k3s", "/run/k3s/containerd/containerd.sock"), ("CRI-O", "/run/crio/crio.sock"),
    ("Podman", "/run/podman/podman.sock"),
  ]

  /// Those whose socket is there.
  static func find() -> [ContainerRuntime] {
    sockets.compactMap { name, path in
      access(path, F_OK) == 0 ? ContainerRuntime(name: name, socket: path, problem: problem(connectingTo: path)) : nil
    }
  }

  private static func problem(connectingTo path: String) -> String? {
    let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return errorText(errno) }
    defer { close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
    let size = socklen_t(MemoryLayout<sockaddr_un>.size)
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, size) }
    }
    guard result != 0 else { return nil }
    switch errno {
    case ECONNREFUSED: return "Nobody answers there: start the service."
    case EACCES: return "No right to ask it: run as root, or join its group."
    case let code: return "It cannot be asked: \(errorText(code))."
    }
  }
}
