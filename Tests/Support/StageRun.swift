// Runs a stage as its program does, through real descriptors and the real loop, from file to file.
import Glibc
import TapWire

/// What a stage made of a stream.
public struct StageRun {
  public let output: [UInt8]
  public let status: ExitStatus
  /// What its loop said on stderr.
  public let errors: String

  public var text: String { String(decoding: output, as: UTF8.self) }
  public var lines: [String] { text.split(separator: "\n").map(String.init) }

  /// Runs `stage` over `input`, which is written to the stage as one file.
  public init(_ stage: inout some Stage & ~Copyable, program: String = "tap-test", input: [UInt8]) {
    let source = ScratchFile(input)
    let sink = ScratchFile([])
    let said = ScratchFile([])
    var loop = StageLoop(
      program: program, input: source.descriptor, output: sink.descriptor, errors: said.descriptor)
    status = loop.run(&stage)
    output = sink.content
    errors = String(decoding: said.content, as: UTF8.self)
  }
}

/// A file without a name.
public struct ScratchFile: ~Copyable {
  public let descriptor: Int32

  public init(_ content: [UInt8]) {
    var path = Array("/tmp/tap-test-XXXXXX".utf8CString)
    descriptor = mkstemp(&path)
    precondition(descriptor >= 0, "mkstemp: \(errorText(errno))")
    unlink(path)
    var written = 0
    while written < content.count {
      let got = content.withUnsafeBytes {
        pwrite(descriptor, $0.baseAddress?.advanced(by: written), $0.count - written, off_t(written))
      }
      precondition(got > 0, "pwrite: \(errorText(errno))")
      written += got
    }
  }

  deinit { close(descriptor) }

  public var content: [UInt8] {
    let size = Int(lseek(descriptor, 0, SEEK_END))
    return [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
      while count < size {
        let got = pread(descriptor, buffer.baseAddress?.advanced(by: count), size - count, off_t(count))
        precondition(got > 0, "pread: \(errorText(errno))")
        count += got
      }
    }
  }
}
