// What to capture, as it stands on the command line. Repeating a filter adds an alternative; different filters must all match.
import ArgumentParser

/// Which side of connections to capture.
enum CaptureDirection: String, CaseIterable, ExpressibleByArgument {
  /// Both sides.
  case all
  /// Flows whose process is the client.
  case egress
  /// Flows whose process is the server.
  case ingress
}

/// A protocol that the kernel program knows by its first bytes.
enum FilterProtocol: String, CaseIterable {
  case redis
  case http
}

struct FilterOptions: ParsableArguments {
  @Option(
    name: .customLong("protocol"),
    help: ArgumentHelp(
      "Leave out connections whose first bytes show another protocol than these: redis, http, any. Separate several "
        + "with commas.",
      valueName: "redis,http"),
    transform: FilterOptions.protocols)
  var protocols: [FilterProtocol] = []

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Capture connections whose local or remote port is this one. May be repeated.", valueName: "port"),
    transform: FilterOptions.port)
  var port: [UInt16] = []

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Capture where the process is the client (egress), where it is the server (ingress), or both (all).",
      valueName: "all|egress|ingress"))
  var direction = CaptureDirection.all

  @Flag(name: .long, help: "Leave out connections that stay on this machine.")
  var noLoopback = false

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Capture this process and its descendants, including those started later. May be repeated.", valueName: "pid"),
    transform: FilterOptions.pid)
  var pid: [Int32] = []

  @Option(
    name: .long,
    help: ArgumentHelp("Capture processes of this name (ps -o comm). May be repeated.", valueName: "name"),
    transform: FilterOptions.comm)
  var comm: [ProcessName] = []

  @Option(
    name: .long,
    help: ArgumentHelp("Capture processes that run this program file. May be repeated.", valueName: "path"))
  var exe: [String] = []

  @Option(
    name: [.customLong("user"), .customLong("uid")],
    help: ArgumentHelp("Capture processes of this user, a name or a number. May be repeated.", valueName: "user"))
  var uid: [String] = []

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Capture processes in this control group (version 2) and below it. May be repeated.", valueName: "path"))
  var cgroup: [String] = []

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Capture containers with this name, id (or at least its first 12 digits) or image, including those started later. "
        + "May be repeated.",
      valueName: "name|id|image"))
  var container: [String] = []

  @Option(
    name: .long, help: ArgumentHelp("Capture containers of this Kubernetes pod. May be repeated.", valueName: "name"))
  var pod: [String] = []

  @Option(
    name: .long,
    help: ArgumentHelp("Capture containers of pods in this Kubernetes namespace. May be repeated.", valueName: "name"))
  var namespace: [String] = []

  /// TAP_FILTER_PORTS_MAX and TAP_FILTER_VALUES_MAX of the kernel program.
  static let portsMaximum = 64
  static let valuesMaximum = 16

  func validate() throws {
    let counts = [
      ("port", port.count, Self.portsMaximum), ("comm", comm.count, Self.valuesMaximum),
      ("exe", exe.count, Self.valuesMaximum), ("uid", uid.count, Self.valuesMaximum),
      ("cgroup", cgroup.count, Self.valuesMaximum),
    ]
    for (name, count, maximum) in counts where count > maximum {
      throw ValidationError("too many of --\(name): expected at most \(maximum), found \(count)")
    }
  }

  /// `any` is no filter, whatever stands beside it.
  static func protocols(_ text: String) throws -> [FilterProtocol] {
    let words = text.split(separator: ",", omittingEmptySubsequences: false)
    let protocols = try words.filter { $0 != "any" }.map { word in
      guard let known = FilterProtocol(rawValue: String(word)) else {
        throw ValidationError("unknown protocol '\(word)'; expected redis, http or any")
      }
      return known
    }
    return words.contains("any") ? [] : protocols
  }

  static func port(_ text: String) throws -> UInt16 {
    guard let port = UInt16(text), port != 0 else {
      throw ValidationError("invalid port '\(text)'; expected a number from 1 to 65535")
    }
    return port
  }

  static func pid(_ text: String) throws -> Int32 {
    guard let pid = Int32(text), pid > 0 else {
      throw ValidationError("invalid process id '\(text)'; expected a positive number")
    }
    return pid
  }

  static func comm(_ text: String) throws -> ProcessName {
    let bytes = Array(text.utf8)
    guard !bytes.isEmpty else { throw ValidationError("the name is empty; expected one as ps -o comm shows it") }
    guard bytes.count <= ProcessName.bytesMaximum else {
      throw ValidationError(
        "no process can have the name '\(text)': the kernel keeps \(ProcessName.bytesMaximum) bytes of a name; "
          + "expected '\(String(decoding: bytes.prefix(ProcessName.bytesMaximum), as: UTF8.self))'")
    }
    return ProcessName(bytes: bytes)
  }
}
