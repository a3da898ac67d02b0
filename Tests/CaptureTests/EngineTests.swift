// Which engine is tried, and what is said when none works.
import TapWire
import Testing

@testable import tap_capture

@Suite struct EngineTests {
  @Test func theBestIsTriedFirst() {
    #expect(EngineChoice.auto.engines == [.fentry, .tracepoint])
    #expect(EngineChoice(argument: "tracepoint")?.engines == [.tracepoint])
    #expect(EngineChoice(argument: "kprobe") == nil)
  }

  /// The kernel keeps 15 bytes of a program's name (BPF_OBJ_NAME_LEN): what bpftool shows is to tell programs apart.
  @Test(arguments: [CaptureEngine.fentry, .tracepoint])
  func programsHaveNamesOfTheirOwn(engine: CaptureEngine) {
    let names = engine.programs.map(\.name)
    #expect(Set(names).count == names.count)
    #expect(names.allSatisfy { $0.utf8.count <= 15 })
  }

  @Test func onlyFunctionsThatExistAreHooked() {
    let present = KernelFunction.present(among: [
      KernelFunction("inet_sendmsg"), KernelFunction("no_such_function"),
      KernelFunction("no_such_function", module: "no_module"),
    ])
    #expect(present == [KernelFunction("inet_sendmsg")])
  }

  @Test func oneRefusalIsTheFailure() {
    let failure = CaptureFailure("refused", remedy: "choose another", status: .noPermission)
    #expect(LoadFailure.merge([EngineRefusal(engine: .fentry, failure: failure)]) == failure)
  }

  @Test func theProgramThatIsRefusedIsNamed() {
    let messages = """
      libbpf: prog 'list_unix_sockets': BPF program load failed: Operation not permitted
      libbpf: permission error while running as root; try raising 'ulimit -l'? current value: 8.0 MiB
      libbpf: prog 'list_unix_sockets': -- BEGIN PROG LOAD LOG --
      processed 0 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
      -- END PROG LOAD LOG --
      """
    #expect(LoadFailure.refusedProgram(messages) == "list_unix_sockets")
    #expect(LoadFailure.refusedProgram("libbpf: failed to load object") == nil)
  }

  @Test func severalRefusalsAreOneFailureWithEachReason() {
    let merged = LoadFailure.merge([
      EngineRefusal(engine: .fentry, failure: CaptureFailure("not allowed", remedy: "a", status: .noPermission)),
      EngineRefusal(engine: .tracepoint, failure: CaptureFailure("too old", remedy: "b", status: .unavailable)),
    ])
    #expect(
      merged
        == CaptureFailure(
          "no engine works here: fentry: not allowed; tracepoint: too old", remedy: "b", status: .unavailable))
  }
}
