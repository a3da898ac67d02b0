// Reading /proc: small files, tolerant of processes that vanish meanwhile.
import Glibc

/// The content of a file, at most `limitBytes` of it; nil if it cannot be read.
func readFile(_ path: String, limitBytes: Int = 1 << 20) -> [UInt8]? {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { return nil }
  defer { close(descriptor) }
  return readContent(of: descriptor, limitBytes: limitBytes)
}

/// What is left to read of an open file, at most `limitBytes` of it; nil if it cannot be read.
func readContent(of descriptor: Int32, limitBytes: Int) -> [UInt8]? {
  var content: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 16384)
  while content.count < limitBytes {
    let count = read(descriptor, &chunk, min(chunk.count, limitBytes - content.count))
    if count < 0, errno == EINTR { continue }
    guard count >= 0 else { return nil }
    guard count > 0 else { break }
    content += chunk[..<count]
  }
  return content
}

/// Where a symbolic link points; nil if it cannot be read.
func readLink(_ path: String) -> [UInt8]? {
  var target = [UInt8](repeating: 0, count: Int(PATH_MAX))
  let count = target.withUnsafeMutableBytes { bytes in
    bytes.withMemoryRebound(to: CChar.self) { text in text.baseAddress.map { readlink(path, $0, text.count) } ?? -1 }
  }
  return count >= 0 ? Array(target[..<count]) : nil
}

/// The names in a folder, without `.` and `..`; empty if it cannot be read.
func namesInFolder(_ path: String) -> [String] {
  guard let folder = opendir(path) else { return [] }
  defer { closedir(folder) }
  var names: [String] = []
  while let entry = readdir(folder) {
    let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    if name != ".", name != ".." { names.append(name) }
  }
  return names
}

/// The inode that a link like `pipe:[4026]` or `net:[4026]` names.
func inode(inLink target: [UInt8], prefix: StaticString) -> UInt64? {
  let text = String(decoding: target, as: UTF8.self)
  guard text.hasPrefix("\(prefix):["), text.hasSuffix("]") else { return nil }
  return UInt64(text.dropFirst(prefix.utf8CodeUnitCount + 2).dropLast())
}

/// The processes that /proc shows.
func runningProcesses() -> [Int32] { namesInFolder("/proc").compactMap { Int32($0) } }
