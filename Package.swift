// swift-tools-version: 6.2
// The tap toolkit: one library that carries frames, and one executable for each stage of the pipeline.
import PackageDescription

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
  name: "tap",
  products: [
    .executable(name: "tap-capture", targets: ["tap-capture"]),
    .executable(name: "tap-resp", targets: ["tap-resp"]),
    .executable(name: "tap-http", targets: ["tap-http"]),
    .executable(name: "tap-merge", targets: ["tap-merge"]),
    .executable(name: "tap-fmt", targets: ["tap-fmt"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
  ],
  targets: [
    // Carried: frames, the loop of a stage, what all stages share.
    .systemLibrary(name: "CMalloc"),
    // Debian 12's valgrind, which scripts/bench counts instructions with, reads no newer DWARF.
    .target(name: "Wide", path: "Sources/TapWire/Wide", cSettings: [.unsafeFlags(["-gdwarf-4"])]),
    .target(name: "TapWire", dependencies: ["CMalloc", "Wide"], exclude: ["Wide"]),
    .target(name: "TapCommandLine", dependencies: ["TapWire", argumentParser]),

    // Captured.
    .systemLibrary(name: "CLibpcap", pkgConfig: "libpcap", providers: [.apt(["libpcap-dev"])]),
    .systemLibrary(name: "CLibbpf", pkgConfig: "libbpf", providers: [.apt(["libbpf-dev"])]),
    .systemLibrary(name: "CaptureRecords", path: "Sources/tap-capture/Records"),
    .target(name: "CaptureSystem", path: "Sources/tap-capture/System"),
    .executableTarget(name: "embed-object"),
    .plugin(name: "EmbedKernelProgram", capability: .buildTool(), dependencies: ["embed-object"]),
    .executableTarget(
      name: "tap-capture",
      dependencies: [
        "TapWire", "TapCommandLine", "CLibbpf", "CLibpcap", "CaptureRecords", "CaptureSystem", argumentParser,
      ],
      exclude: ["Kernel", "Records", "System"],
      plugins: ["EmbedKernelProgram"]),

    // Decoded. A decoder is a library inside its stage's folder, so that benchmarks and fuzzers can link it.
    .target(name: "RESP", dependencies: ["TapWire"], path: "Sources/tap-resp/Decoder"),
    .systemLibrary(name: "CLibsodium", providers: [.apt(["libsodium-dev"])]),
    .executableTarget(
      name: "tap-resp", dependencies: ["TapWire", "TapCommandLine", "RESP", "CLibsodium", argumentParser],
      exclude: ["Decoder"],
      // The archive: what decodes needs no library where it runs.
      linkerSettings: [.linkedLibrary(":libsodium.a")]),
    .executableTarget(name: "tap-http", dependencies: ["TapWire", "TapCommandLine", argumentParser]),

    // Joined.
    .target(name: "Merge", dependencies: ["TapWire"], path: "Sources/tap-merge/Merge"),
    .executableTarget(
      name: "tap-merge", dependencies: ["TapWire", "TapCommandLine", "Merge", argumentParser], exclude: ["Merge"]),

    // Formatted.
    .target(name: "Format", dependencies: ["TapWire"], path: "Sources/tap-fmt/Format"),
    .executableTarget(
      name: "tap-fmt", dependencies: ["TapWire", "TapCommandLine", "Format", argumentParser], exclude: ["Format"]),

    // Measured: what scripts/bench runs beside the programs themselves.
    .executableTarget(name: "decoder-benchmark", dependencies: ["TapWire", "RESP"], path: "Benchmarks/Decoder"),

    .target(name: "Support", dependencies: ["TapWire"], path: "Tests/Support"),
    .testTarget(name: "TapWireTests", dependencies: ["TapWire", "Support"]),
    .testTarget(name: "CaptureTests", dependencies: ["tap-capture", "TapWire", "TapCommandLine", "Support"]),
    .testTarget(name: "OfflineTests", dependencies: ["tap-capture", "TapWire", "Support"]),
    .target(name: "DecoderChecks", dependencies: ["TapWire", "RESP"], path: "Tests/Fuzz/Checks"),
    .testTarget(
      name: "RESPTests", dependencies: ["TapWire", "RESP", "Support", "DecoderChecks"], exclude: ["Vectors"]),
    .testTarget(name: "MergeTests", dependencies: ["TapWire", "Merge", "Support"]),
    .testTarget(name: "FormatTests", dependencies: ["TapWire", "Format", "Support"], exclude: ["Golden"]),
  ],
  swiftLanguageModes: [.v6]
)

// Only scripts/fuzz asks for it: with libFuzzer's counters in the decoder, and its driver in the program.
if Context.environment["TAP_FUZZ"] != nil {
  for target in package.targets where ["TapWire", "RESP"].contains(target.name) {
    target.swiftSettings = [.unsafeFlags(["-sanitize=fuzzer"])]
  }
  package.targets.append(
    .executableTarget(
      name: "decoder-fuzzer", dependencies: ["DecoderChecks"], path: "Tests/Fuzz/Driver",
      swiftSettings: [.enableExperimentalFeature("Extern")],
      linkerSettings: [.unsafeFlags(["-sanitize=fuzzer", "-use-ld=lld"])]))
}
