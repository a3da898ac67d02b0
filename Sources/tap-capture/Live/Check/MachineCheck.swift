// --check: what this machine allows, each failure with its cause and its remedy, as a plain list of 80 columns.
import CLibbpf
import CaptureSystem
import Glibc
import TapWire

struct MachineCheck {
  private var report = CheckReport()

  /// Looks at everything, prints the list to standard output, and returns the exit status: success if a live capture
  /// works here.
  static func run(verbose: Bool) -> ExitStatus {
    LibbpfMessages.install(verbose: verbose)
    var check = MachineCheck()
    check.kernel()
    check.capabilities()
    check.engines()
    check.tlsLibraries()
    check.containerRuntimes()
    let status = check.capture()
    var output = Output(descriptor: STDOUT_FILENO)
    output.buffer.append(check.report.text)
    output.flush()
    return status
  }

  // MARK: The kernel

  private mutating func kernel() {
    var name = utsname()
    uname(&name)
    report.add("kernel", "\(text(of: name.release)) \(text(of: name.machine))")
    if access(LoadFailure.typeInformationPath, R_OK) == 0 {
      report.add("type information", LoadFailure.typeInformationPath)
    } else {
      report.add(
        "type information", "missing: \(LoadFailure.typeInformationPath)",
        remedy: "Use a kernel built with CONFIG_DEBUG_INFO_BTF, as those of current distributions are.")
    }
    switch LoadFailure.lockdown {
    case "confidentiality":
      report.add(
        "lockdown", "confidentiality: BPF may not read memory",
        remedy: "Boot with lockdown=integrity or lockdown=none.")
    case let level: report.add("lockdown", level ?? "unknown: /sys/kernel/security is not mounted")
    }
    if let content = readFile("/proc/sys/kernel/unprivileged_bpf_disabled") {
      let level = String(decoding: content.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
      report.add("BPF without rights", level == "0" ? "allowed; not used" : "off, as it should be")
    }
  }

  private func text<Tuple>(of field: Tuple) -> String {
    withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }

  // MARK: Rights

  /// include/uapi/linux/capability.h, and what each is for.
  private static let capabilities: [(number: Int32, name: String, isNeeded: Bool, purpose: String)] = [
    (LoadFailure.bpf, "CAP_BPF", true, "to load the kernel program"),
    (LoadFailure.perfmon, "CAP_PERFMON", true, "to attach it and read memory"),
    (19, "CAP_SYS_PTRACE", false, "to name the programs of other users' processes"),
    (2, "CAP_DAC_READ_SEARCH", false, "to read other users' folders in /proc"),
  ]

  private mutating func capabilities() {
    let isAdmin = tap_has_capability(LoadFailure.systemAdmin) != 0
    for capability in Self.capabilities {
      // CAP_SYS_ADMIN includes the first two.
      if tap_has_capability(capability.number) != 0 || (capability.isNeeded && isAdmin) {
        report.add(capability.name, "yes")
      } else {
        report.add(
          capability.name, "no: it is needed \(capability.purpose)",
          remedy: capability.isNeeded
            ? "Run it as root, or give the file the right: see PRIVILEGES in tap-capture(1)."
            : "Without it, other users' processes have no program and no pipeline.")
      }
    }
  }

  // MARK: Engines

  private mutating func engines() {
    for probe in EngineProbe.all {
      guard LoadFailure.mayLoad else {
        report.add(probe.name, "not tried: no right to load programs")
        continue
      }
      switch probe.run() {
      case nil: report.add(probe.name, "its hooks are allowed")
      case let failure?: report.add(probe.name, failure.cause, remedy: failure.remedy)
      }
    }
  }

  /// The proof: the program of a capture itself, attached and taken away again.
  private mutating func capture() -> ExitStatus {
    do throws(CaptureFailure) {
      try LoadFailure.checkPrerequisites()
      let settings = KernelSettings(ringBytes: KernelSettings.ringBytesRange.lowerBound)
      let program = try KernelProgram.begin(.auto, settings) { _ in }
      report.add("live capture", "works, with the \(program.engine.rawValue) engine")
      return .success
    } catch {
      report.add("live capture", error.message, remedy: error.remedy)
      return error.status
    }
  }

  // MARK: What runs here

  private mutating func tlsLibraries() {
    let found = TLSLibraries.find()
    if found.isEmpty { report.add("TLS libraries", "none in a process that can be read") }
    for (index, library) in found.enumerated() {
      report.add(index == 0 ? "TLS libraries" : "", "\(library.kind): \(library.path)")
      report.add("", "  in \(library.usersText)")
    }
  }

  private mutating func containerRuntimes() {
    let found = ContainerRuntime.find()
    if found.isEmpty { report.add("container runtimes", "none: Docker, containerd, CRI-O and Podman have no socket") }
    for (index, runtime) in found.enumerated() {
      report.add(
        index == 0 ? "container runtimes" : "", "\(runtime.name): \(runtime.socket)",
        remedy: runtime.problem.map { "\($0)" })
    }
  }
}

/// Labels in one column, texts in another, wrapped at 80.
struct CheckReport {
  private static let textColumn = 21
  private static let widthMaximum = 80
  private(set) var text = ""

  /// Adds a line; the remedy stands below it, further to the right.
  mutating func add(_ label: String, _ line: String, remedy: String? = nil) {
    append(label, line, indentation: 0)
    if let remedy { append("", remedy, indentation: 2) }
  }

  private mutating func append(_ label: String, _ line: String, indentation: Int) {
    let column = Self.textColumn + indentation
    // What a file or a process is named may hold anything; a terminal must not obey it.
    let line = String(line.unicodeScalars.map { $0.properties.generalCategory == .control ? "?" : Character($0) })
    var current = label.padded(to: column)
    var isEmpty = true
    let leading = line.prefix { $0 == " " }
    for word in line.split(separator: " ") {
      if !isEmpty, current.count + 1 + word.count > Self.widthMaximum {
        text += current + "\n"
        current = String(repeating: " ", count: column) + leading
        isEmpty = true
      }
      current += isEmpty ? (current.count == column ? leading + word : word) : " " + word
      isEmpty = false
    }
    text += current + "\n"
  }
}

extension String {
  fileprivate func padded(to width: Int) -> String {
    self + String(repeating: " ", count: Swift.max(1, width - count))
  }
}
