// Compiles the kernel program with the toolchain's own clang and embeds it: `swift build` needs nothing else.
import Foundation
import PackagePlugin

@main
struct EmbedKernelProgram: BuildToolPlugin {
  func createBuildCommands(context: PluginContext, target: Target) throws -> [Command] {
    let kernel = target.directoryURL.appending(path: "Kernel")
    let records = target.directoryURL.appending(path: "Records")
    let program = kernel.appending(path: "capture.bpf.c")
    let object = context.pluginWorkDirectoryURL.appending(path: "capture.bpf.o")
    let source = context.pluginWorkDirectoryURL.appending(path: "KernelProgramImage.swift")
    let headers = try [kernel, records].flatMap { folder in
      try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        .filter { $0.pathExtension == "h" }
    }
    return [
      .buildCommand(
        displayName: "Compiling the kernel program",
        executable: try context.tool(named: "clang").url,
        arguments: [
          "--target=bpf", "-g", "-O2", "-mcpu=v3", "-D__TARGET_ARCH_x86",
          "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter",
          "-I", records.path(), "-idirafter", "/usr/include/x86_64-linux-gnu",
          // Paths of this machine have no place in the program's debugging information.
          "-ffile-prefix-map=\(context.package.directoryURL.path())=",
          "-c", program.path(), "-o", object.path(),
        ],
        inputFiles: [program] + headers,
        outputFiles: [object]),
      .buildCommand(
        displayName: "Embedding the kernel program",
        executable: try context.tool(named: "embed-object").url,
        arguments: [object.path(), source.path()],
        inputFiles: [object],
        outputFiles: [source]),
    ]
  }
}
