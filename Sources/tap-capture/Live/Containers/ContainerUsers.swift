// The users of a container have names of their own, and with user namespaces numbers too.

struct ContainerUsers: Equatable, Sendable {
  static let maximumFileBytes = 256 << 10
  static let maximumNames = 1024
  /// useradd(8) takes none that is longer.
  static let maximumNameBytes = 32

  /// A range of /proc/PID/uid_map (user_namespaces(7)).
  struct Range: Equatable, Sendable {
    var inside: UInt32
    var outside: UInt32
    var count: UInt32
  }

  private var names: [UInt32: String] = [:]
  private var ranges: [Range] = []

  /// `passwd` is the container's /etc/passwd, `uidMap` the uid_map of one of its processes.
  init(passwd: [UInt8], uidMap: [UInt8]) {
    var rest = passwd[...]
    while !rest.isEmpty, names.count < Self.maximumNames {
      let line = rest.prefix { $0 != UInt8(ascii: "\n") }
      rest = rest[line.endIndex...].dropFirst()
      // name:password:uid:… (passwd(5)); the first entry of a number counts.
      let fields = line.split(separator: UInt8(ascii: ":"), maxSplits: 3, omittingEmptySubsequences: false)
      guard fields.count > 2, let uid = UInt32(String(decoding: fields[2], as: UTF8.self)), names[uid] == nil,
        (1...Self.maximumNameBytes).contains(fields[0].count)
      else { continue }
      names[uid] = String(decoding: fields[0], as: UTF8.self)
    }
    // The kernel allows 340 lines.
    for line in uidMap.split(separator: UInt8(ascii: "\n")).prefix(340) {
      let numbers = line.split(separator: UInt8(ascii: " ")).compactMap { UInt32(String(decoding: $0, as: UTF8.self)) }
      guard numbers.count == 3 else { continue }
      ranges.append(Range(inside: numbers[0], outside: numbers[1], count: numbers[2]))
    }
  }

  /// The container's name for a user that the host knows by `uid`.
  func name(of uid: UInt32) -> String? {
    for range in ranges where uid >= range.outside && uid - range.outside < range.count {
      let (inside, overflow) = range.inside.addingReportingOverflow(uid - range.outside)
      return overflow ? nil : names[inside]
    }
    return nil
  }
}
