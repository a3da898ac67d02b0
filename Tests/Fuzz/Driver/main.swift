// LLVM's libFuzzer over the decoder: scripts/fuzz builds and runs it.
import DecoderChecks
import Glibc

/// Of compiler-rt's FuzzerDriver.cpp: parses libFuzzer's own options, and calls back with each input.
@_extern(c, "LLVMFuzzerRunDriver")
func runFuzzer(
  _ count: UnsafeMutablePointer<Int32>,
  _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
  _ test: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32

nonisolated(unsafe) let checks = Checks()
var count = CommandLine.argc
var arguments = CommandLine.unsafeArgv
exit(
  runFuzzer(&count, &arguments) { start, count in
    if let failure = checks.failure(UnsafeRawBufferPointer(start: start, count: count)) { fatalError(failure) }
    return 0
  })
