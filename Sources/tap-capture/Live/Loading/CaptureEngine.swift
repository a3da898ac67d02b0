// The engines: two ways in which the kernel program sees bytes move. Everything else in it is common to both.
import ArgumentParser
import CLibbpf
import Glibc

/// What `--engine` takes.
enum EngineChoice: String, CaseIterable, ExpressibleByArgument, Sendable {
  /// The best that this kernel takes.
  case auto
  case fentry
  case tracepoint

  /// The engines to try, the best first.
  var engines: [CaptureEngine] {
    switch self {
    case .auto: [.fentry, .tracepoint]
    case .fentry: [.fentry]
    case .tracepoint: [.tracepoint]
    }
  }
}

enum CaptureEngine: String, Equatable, Sendable {
  /// Behind the functions by which sockets send and receive: reads whatever moves bytes, from kernel 6.1 on.
  case fentry
  /// At tracepoints behind them, with the registers of the system call: from kernel 6.3 on.
  case tracepoint

  /// One of its programs in the kernel program.
  struct Program: Equatable, Sendable {
    var name: String
    /// The kernel function that it hooks, if there are kernels that lack it. There its sockets or calls do not exist.
    var optionalFunction: KernelFunction?
  }

  /// The programs that see bytes move.
  var programs: [Program] {
    switch self {
    case .fentry:
      [
        Program(name: "inet_sent"),
        Program(name: "inet_received"),
        Program(name: "inet6_sent", optionalFunction: KernelFunction("inet6_sendmsg", module: "ipv6")),
        Program(name: "inet6_received", optionalFunction: KernelFunction("inet6_recvmsg", module: "ipv6")),
        Program(name: "unix_sent", optionalFunction: KernelFunction("unix_stream_sendmsg", module: "unix")),
        Program(name: "unix_received", optionalFunction: KernelFunction("unix_stream_recvmsg", module: "unix")),
        // Linux 6.5 has removed these.
        Program(name: "inet_sent_page", optionalFunction: KernelFunction("inet_sendpage")),
        Program(name: "unix_sent_page", optionalFunction: KernelFunction("unix_stream_sendpage", module: "unix")),
      ]
    case .tracepoint:
      [Program(name: "socket_sent"), Program(name: "socket_received")]
    }
  }

  /// The names of the programs to load on this kernel.
  func programNames() -> [String] {
    let optional = programs.compactMap(\.optionalFunction)
    let present = optional.isEmpty ? [] : KernelFunction.present(among: optional)
    return programs.filter { $0.optionalFunction.map(present.contains) ?? true }.map(\.name)
  }
}

/// A function of the kernel, or of one of its modules.
struct KernelFunction: Hashable, Sendable {
  var name: String
  var module: String?

  // BTF_KIND_FUNC of <linux/btf.h>, which is a macro and an enumerator there.
  private static let functionKind: UInt32 = 12

  init(_ name: String, module: String? = nil) {
    self.name = name
    self.module = module
  }

  /// Those that the kernel has, or a module of it that is loaded.
  static func present(among functions: [KernelFunction]) -> Set<KernelFunction> {
    guard let types = btf__load_vmlinux_btf() else { return [] }
    defer { btf__free(types) }
    return Set(
      functions.filter { function in
        if btf__find_by_name_kind(types, function.name, functionKind) > 0 { return true }
        // libbpf finds the function there by itself.
        return function.module.map { access("/sys/kernel/btf/\($0)", F_OK) == 0 } ?? false
      })
  }
}
