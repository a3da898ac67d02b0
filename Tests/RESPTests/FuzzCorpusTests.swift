// The fuzzer's corpus, again and again: what it has found once does not come back, also where nobody runs the fuzzer.
import DecoderChecks
import Glibc
import Testing

@Suite struct FuzzCorpusTests {
  private static let folder = String(#filePath.dropLast("RESPTests/FuzzCorpusTests.swift".count)) + "Fuzz/Corpus"

  private static func names() throws -> [String] {
    let directory = try #require(opendir(folder))
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if !name.hasPrefix(".") { names.append(name) }
    }
    return names.sorted()
  }

  private static func content(_ name: String) throws -> [UInt8] {
    let file = try #require(fopen(folder + "/" + name, "r"))
    defer { fclose(file) }
    return [UInt8](unsafeUninitializedCapacity: 1 << 16) { buffer, count in
      count = fread(buffer.baseAddress, 1, buffer.count, file)
    }
  }

  @Test func everyCaptureHolds() throws {
    let names = try Self.names()
    #expect(names.count >= 30)
    let checks = Checks()
    let clock = ContinuousClock()
    for name in names {
      let begin = clock.now
      let failure = try Self.content(name).withUnsafeBytes { checks.failure($0) }
      #expect(failure == nil, "\(name)")
      // As the fuzzer would have it.
      #expect(clock.now - begin < .seconds(5), "\(name)")
    }
  }
}
