// Why the kernel refused: one clear line for each cause, and what to do about it.
import CLibbpf
import CaptureSystem
import Glibc
import TapWire

/// An engine that could not be used.
struct EngineRefusal {
  var engine: CaptureEngine
  var failure: CaptureFailure
}

enum LoadFailure {
  static let typeInformationPath = "/sys/kernel/btf/vmlinux"
  private static let lockdownPath = "/sys/kernel/security/lockdown"

  // include/uapi/linux/capability.h
  static let bpf: Int32 = 39
  static let perfmon: Int32 = 38
  static let systemAdmin: Int32 = 21

  /// Whether this process may load and attach the kernel program.
  static var mayLoad: Bool {
    tap_has_capability(bpf) != 0 && tap_has_capability(perfmon) != 0 || tap_has_capability(systemAdmin) != 0
  }

  /// What can be known before anything is loaded.
  static func checkPrerequisites() throws(CaptureFailure) {
    guard mayLoad else {
      throw CaptureFailure(
        "no permission to capture: the kernel asks for CAP_BPF and CAP_PERFMON, this user (uid \(geteuid())) has neither",
        remedy: "Run it as root, for example with sudo, or see PRIVILEGES in tap-capture(1).", status: .noPermission)
    }
    guard access(typeInformationPath, R_OK) == 0 else {
      throw CaptureFailure(
        "this kernel tells nothing of its own types: \(typeInformationPath) is missing",
        remedy: "Use a kernel built with CONFIG_DEBUG_INFO_BTF, as those of current distributions are.",
        status: .unavailable)
    }
  }

  /// The failure for an error of libbpf or the kernel, with what libbpf said of it. `engine`: whose programs they were.
  static func diagnose(_ code: Int32, doing operation: String, _ engine: CaptureEngine? = nil) -> CaptureFailure {
    let messages = LibbpfMessages.text
    if code == EPERM || code == EACCES, isLockedDown {
      return CaptureFailure(
        "cannot \(operation): the kernel is locked down to confidentiality",
        remedy: "Kernel lockdown forbids to read memory from BPF; boot with lockdown=integrity or lockdown=none.",
        status: .noPermission)
    }
    if messages.contains("RLIMIT_MEMLOCK") || code == ENOMEM {
      return CaptureFailure(
        "cannot \(operation): not enough memory may be locked",
        remedy: "Raise the limit (ulimit -l unlimited) or choose a smaller --buffer.", status: .unavailable)
    }
    if messages.contains("failed to find kernel BTF type ID") || messages.contains("is not found in vmlinux BTF") {
      return CaptureFailure(
        "cannot \(operation): this kernel has no tracepoint sock_send_length",
        remedy: "The tracepoint engine needs kernel 6.3 or later; this one is \(kernelRelease).", status: .unavailable)
    }
    // EACCES is the verifier's, and a mistake of ours.
    if engine == .fentry, code == EPERM || code == notSupportedInKernel {
      return CaptureFailure(
        "cannot \(operation): this kernel refuses the programs of the fentry engine (\(errorText(code)))",
        remedy: "Choose --engine tracepoint, which needs kernel 6.3 or later; this one is \(kernelRelease).",
        status: code == EPERM ? .noPermission : .unavailable)
    }
    // EPERM where the verifier has not begun: not what the program does is refused, but its kind.
    if code == EPERM, let program = refusedProgram(messages) {
      return CaptureFailure(
        "cannot \(operation): this kernel refuses programs of the kind of '\(program)' (\(errorText(code)))",
        remedy: "A security module or another policy of this machine forbids it; --check shows what is allowed.",
        status: .noPermission)
    }
    let cause = condensed(messages) ?? errorText(code)
    return CaptureFailure(
      "cannot \(operation): \(cause)",
      remedy: "Run it again with --verbose to see all that libbpf and the kernel say.",
      status: code == EPERM || code == EACCES ? .noPermission : .unavailable)
  }

  // ENOTSUPP of <linux/errno.h>, which user space has no name for: no trampolines on this kernel.
  private static let notSupportedInKernel: Int32 = 524

  /// One failure for all engines that were tried; there must be one at least.
  static func merge(_ refusals: [EngineRefusal]) -> CaptureFailure {
    guard let last = refusals.last, refusals.count > 1 else {
      return refusals.first?.failure ?? CaptureFailure("there is no engine to capture with", status: .unavailable)
    }
    let reasons = refusals.map { "\($0.engine.rawValue): \($0.failure.message)" }
    return CaptureFailure(
      "no engine works here: \(reasons.joined(separator: "; "))", remedy: last.failure.remedy,
      status: refusals.contains { $0.failure.status == .unavailable } ? .unavailable : .noPermission)
  }

  private static var isLockedDown: Bool { lockdown == "confidentiality" }

  /// The level in force; nil if the kernel does not tell.
  static var lockdown: String? {
    // `[none] integrity confidentiality`: it stands in brackets.
    readFile(lockdownPath).flatMap { content in
      String(decoding: content, as: UTF8.self).split(separator: "[").last?.split(separator: "]").first.map(String.init)
    }
  }

  private static var kernelRelease: String {
    readFile("/proc/sys/kernel/osrelease").map {
      String(decoding: $0.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    } ?? "unknown"
  }

  /// The program that libbpf names in `prog 'NAME': BPF program load failed: …`.
  static func refusedProgram(_ messages: String) -> String? {
    guard let line = messages.split(separator: "\n").last(where: { $0.contains("BPF program load failed") }) else {
      return nil
    }
    let quoted = line.split(separator: "'", omittingEmptySubsequences: false)
    return quoted.count >= 3 ? String(quoted[1]) : nil
  }

  /// The last line that tells a reason; libbpf's last lines only repeat that it failed.
  private static func condensed(_ messages: String) -> String? {
    let lines = messages.split(separator: "\n").filter { !$0.contains("-- BEGIN PROG LOAD LOG") }
    // What the verifier objects to stands in front of its statistics.
    if let end = lines.lastIndex(where: { $0.hasPrefix("processed ") && $0.contains(" insns ") }), end > 0 {
      return String(lines[end - 1])
    }
    let reason = lines.last { $0.contains("failed to") && !$0.contains("failed to load object") } ?? lines.last
    return reason.map { $0.hasPrefix("libbpf: ") ? String($0.dropFirst(8)) : String($0) }
  }
}
