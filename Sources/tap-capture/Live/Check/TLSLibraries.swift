// The TLS libraries that running processes use: shared ones by their mappings, Go's own by the section that every Go
// binary has.
import Glibc

struct TLSLibrary: Equatable {
  /// OpenSSL, GnuTLS, …
  var kind: String
  /// As its processes see it.
  var path: String
  var users: [(pid: Int32, comm: String)]

  /// The first process, and how many more there are.
  var usersText: String {
    guard let first = users.first else { return "no process" }
    return "\(first.comm) (\(first.pid))" + (users.count > 1 ? " and \(users.count - 1) more" : "")
  }

  static func == (left: TLSLibrary, right: TLSLibrary) -> Bool {
    left.kind == right.kind && left.path == right.path && left.users.elementsEqual(right.users) { $0 == $1 }
  }
}

enum TLSLibraries {
  /// Beginnings of file names; each is followed by a dot, or a number and a dot.
  private static let kinds: [(prefix: String, kind: String)] = [
    ("libssl.", "OpenSSL"), ("libssl3.", "NSS"), ("libgnutls.", "GnuTLS"), ("libwolfssl.", "wolfSSL"),
    ("libmbedtls.", "Mbed TLS"), ("libs2n.", "s2n"),
  ]

  static func find() -> [TLSLibrary] {
    var found: [String: TLSLibrary] = [:]
    var binaries: [String: Bool] = [:]
    func add(_ kind: String, _ path: String, _ pid: Int32) {
      let comm = ProcessStatus.read(pid).map { String(decoding: $0.comm, as: UTF8.self) } ?? "?"
      found[path, default: TLSLibrary(kind: kind, path: path, users: [])].users.append((pid, comm))
    }
    for pid in runningProcesses().sorted() {
      for library in libraries(parsingMaps: readFile("/proc/\(pid)/maps", limitBytes: 16 << 20) ?? []) {
        add(library.kind, library.path, pid)
      }
      guard let link = readLink("/proc/\(pid)/exe") else { continue }
      let path = String(decoding: link, as: UTF8.self)
      // The same path may be another file in a container; then it is most likely the same program still.
      let isGo = binaries[path] ?? isGoBinary("/proc/\(pid)/exe")
      binaries[path] = isGo
      if isGo { add("Go", path, pid) }
    }
    return found.values.sorted { ($0.kind, $0.path) < ($1.kind, $1.path) }
  }

  /// The libraries in a table like /proc/PID/maps: `address perms offset dev inode path` (proc_pid_maps(5)).
  static func libraries(parsingMaps table: [UInt8]) -> [(kind: String, path: String)] {
    var paths: Set<String> = []
    for line in table.split(separator: UInt8(ascii: "\n")) {
      guard let slash = line.firstIndex(of: UInt8(ascii: "/")) else { continue }
      paths.insert(String(decoding: line[slash...], as: UTF8.self))
    }
    return paths.sorted().compactMap { path in
      let name = path.split(separator: "/").last ?? ""
      return kinds.first { name.hasPrefix($0.prefix) && name.contains(".so") }.map { ($0.kind, path) }
    }
  }

  /// Whether a file is an ELF binary with the section in which Go keeps its build information.
  static func isGoBinary(_ path: String) -> Bool {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    return ELFSections(descriptor: descriptor)?.names.contains(".go.buildinfo") ?? false
  }
}

/// The names of the sections of a 64-bit little-endian ELF file (elf(5)). The file may hold anything.
struct ELFSections {
  private(set) var names: Set<String> = []

  init?(descriptor: Int32) {
    func bytes(at offset: UInt64, count: Int) -> [UInt8]? {
      guard count > 0, count <= 1 << 20, let start = Int(exactly: offset) else { return nil }
      var content = [UInt8](repeating: 0, count: count)
      return pread(descriptor, &content, count, start) == count ? content : nil
    }
    func number<Value: FixedWidthInteger>(_ content: [UInt8], _ offset: Int, as: Value.Type) -> Value {
      content[offset..<(offset + MemoryLayout<Value>.size)].reversed().reduce(0) {
        $0 << 8 | Value(truncatingIfNeeded: $1)
      }
    }
    // Elf64_Ehdr: e_shoff at 40, e_shentsize at 58, e_shnum at 60, e_shstrndx at 62.
    guard let header = bytes(at: 0, count: 64), header.starts(with: [0x7f, 0x45, 0x4c, 0x46, 2, 1]) else { return nil }
    let count = Int(number(header, 60, as: UInt16.self))
    let nameTable = Int(number(header, 62, as: UInt16.self))
    let entryBytes = 64
    guard number(header, 58, as: UInt16.self) == entryBytes, nameTable < count,
      let table = bytes(at: number(header, 40, as: UInt64.self), count: count * entryBytes)
    else { return nil }
    // Elf64_Shdr: sh_name at 0, sh_offset at 24, sh_size at 32.
    let start = nameTable * entryBytes
    let size = number(table, start + 32, as: UInt64.self)
    guard size <= 1 << 20, let texts = bytes(at: number(table, start + 24, as: UInt64.self), count: Int(size)) else {
      return nil
    }
    for index in 0..<count {
      let name = Int(number(table, index * entryBytes, as: UInt32.self))
      guard name < texts.count else { continue }
      names.insert(String(decoding: texts[name...].prefix { $0 != 0 }.prefix(64), as: UTF8.self))
    }
  }
}
