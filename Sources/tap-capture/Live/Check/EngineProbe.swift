// Whether the kernel takes a program of a kind: the smallest one is loaded and attached.
import CLibbpf
import Glibc
import TapWire

struct EngineProbe {
  struct Failure {
    var cause: String
    var remedy: String
  }

  /// A hook that the engine needs.
  private struct Hook {
    var target: String
    var kind: bpf_attach_type

    var text: String {
      switch kind {
      case BPF_TRACE_FEXIT: "fexit on \(target)"
      default: "the tracepoint \(target)"
      }
    }
  }

  /// What the list calls it.
  var name: String
  private var hooks: [Hook]
  /// The remedy where the kernel lacks a hook, and where it refuses the program.
  private var whenMissing: String
  private var whenRefused: String

  static let all = [
    EngineProbe(
      name: "tracepoint engine",
      hooks: [
        Hook(target: "sock_send_length", kind: BPF_TRACE_RAW_TP),
        Hook(target: "sock_recv_length", kind: BPF_TRACE_RAW_TP),
      ],
      whenMissing: "It needs kernel 6.3 or later.",
      whenRefused: "Allow BPF tracing programs: a security module or the machine's policy forbids them."),
    EngineProbe(
      name: "fentry engine",
      hooks: [
        Hook(target: "inet_sendmsg", kind: BPF_TRACE_FEXIT), Hook(target: "inet_recvmsg", kind: BPF_TRACE_FEXIT),
      ],
      whenMissing: "It needs a kernel with TCP and CONFIG_FUNCTION_TRACER.",
      whenRefused: "A policy of this machine or the build of its kernel; the tracepoint engine does not need it."),
  ]

  /// What stands in the way, if anything.
  func run() -> Failure? {
    for hook in hooks {
      if let failure = attempt(hook) { return failure }
    }
    return nil
  }

  private func attempt(_ hook: Hook) -> Failure? {
    let identifier = libbpf_find_vmlinux_btf_id(hook.target, hook.kind)
    guard identifier > 0 else { return Failure(cause: "this kernel has not got \(hook.text)", remedy: whenMissing) }
    // r0 = 0; exit (Documentation/bpf/standardization/instruction-set.rst).
    var instructions = [kernel_bpf_insn(), kernel_bpf_insn()]
    instructions[0].code = 0xb7
    instructions[1].code = 0x95
    var options = bpf_prog_load_opts()
    options.sz = MemoryLayout<bpf_prog_load_opts>.size
    options.expected_attach_type = hook.kind
    options.attach_btf_id = UInt32(identifier)
    let loaded = bpf_prog_load(BPF_PROG_TYPE_TRACING, "tap_probe", "GPL", instructions, instructions.count, &options)
    guard loaded >= 0 else { return refusal("load", hook, errno) }
    defer { close(loaded) }
    let link = bpf_raw_tracepoint_open(nil, loaded)
    guard link >= 0 else { return refusal("attach", hook, errno) }
    close(link)
    return nil
  }

  private func refusal(_ operation: String, _ hook: Hook, _ code: Int32) -> Failure {
    Failure(cause: "refused: cannot \(operation) \(hook.text): \(errorText(code))", remedy: whenRefused)
  }
}
