// --check: the list's form, and what it finds in tables and files that may hold anything.
import Glibc
import Testing

@testable import tap_capture

@Suite struct CheckTests {
  @Test func aListOf80Columns() {
    var report = CheckReport()
    report.add("kernel", "6.1.0")
    report.add("fentry engine", String(repeating: "word ", count: 20), remedy: "Do this.")
    report.add("", "  in nginx (7)")
    let lines = report.text.split(separator: "\n").map(String.init)
    #expect(lines[0] == "kernel               6.1.0")
    #expect(lines.allSatisfy { $0.count <= 80 })
    #expect(lines[2].hasPrefix(String(repeating: " ", count: 21) + "word"))
    #expect(lines[3] == String(repeating: " ", count: 23) + "Do this.")
    #expect(lines[4] == String(repeating: " ", count: 23) + "in nginx (7)")
  }

  @Test func aTerminalObeysNoName() {
    var report = CheckReport()
    report.add("TLS libraries", "Go: /tmp/\u{1b}[2Jx")
    #expect(report.text == "TLS libraries        Go: /tmp/?[2Jx\n")
  }

  @Test func librariesOfAProcess() {
    let maps = """
      7f00-7f01 r--p 00000000 08:01 12 /usr/lib/x86_64-linux-gnu/libssl.so.3
      7f01-7f02 r-xp 00001000 08:01 12 /usr/lib/x86_64-linux-gnu/libssl.so.3
      7f02-7f03 r--p 00000000 08:01 13 /opt/my libs/libgnutls.so.30.34.3
      7f03-7f04 r--p 00000000 08:01 14 /usr/lib/libssl_notes.txt
      7f04-7f05 r--p 00000000 08:01 15 /usr/lib/libc.so.6
      7ffc-7ffd rw-p 00000000 00:00 0 [stack]
      """
    let found = TLSLibraries.libraries(parsingMaps: Array(maps.utf8))
    #expect(found.map(\.kind) == ["GnuTLS", "OpenSSL"])
    #expect(found.map(\.path) == ["/opt/my libs/libgnutls.so.30.34.3", "/usr/lib/x86_64-linux-gnu/libssl.so.3"])
    #expect(TLSLibraries.libraries(parsingMaps: []).isEmpty)
  }

  /// An ELF file with these sections; the first is the table of their names.
  private func elf(_ names: [String]) -> [UInt8] {
    let texts: [UInt8] = names.flatMap { name -> [UInt8] in Array(name.utf8) + [0] }
    var file = [UInt8](repeating: 0, count: 64)
    file.replaceSubrange(0..<6, with: [0x7f, 0x45, 0x4c, 0x46, 2, 1])
    file[40] = 64
    file[58] = 64
    file[60] = UInt8(names.count)
    var position = 0
    for (index, name) in names.enumerated() {
      var entry = [UInt8](repeating: 0, count: 64)
      entry[0] = UInt8(position)
      if index == 0 {
        entry[24] = UInt8(64 + 64 * names.count)
        entry[32] = UInt8(texts.count)
      }
      position += name.utf8.count + 1
      file += entry
    }
    return file + texts
  }

  private func sections(_ content: [UInt8]) -> Set<String>? {
    guard let file = tmpfile() else { return nil }
    defer { fclose(file) }
    #expect(write(fileno(file), content, content.count) == content.count)
    return ELFSections(descriptor: fileno(file))?.names
  }

  @Test func sectionsOfABinary() {
    #expect(sections(elf([".names", ".go.buildinfo"])) == [".names", ".go.buildinfo"])
    #expect(sections([]) == nil)
    #expect(sections(Array("#!/bin/sh\n".utf8)) == nil)
  }

  /// Cut anywhere, or with any byte of the tables changed, it is read without a crash.
  @Test func sectionsOfADamagedBinary() {
    let whole = elf([".names", ".text"])
    for length in whole.indices { _ = sections(Array(whole[..<length])) }
    for index in whole.indices {
      for value in [0, 1, 0x7f, 0xff] as [UInt8] {
        var damaged = whole
        damaged[index] = value
        _ = sections(damaged)
      }
    }
    #expect(sections(whole) == [".names", ".text"])
  }
}
