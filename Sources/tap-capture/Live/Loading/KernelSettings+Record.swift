// The settings as the kernel program reads them.
import CaptureRecords

extension tap_settings {
  init(_ settings: KernelSettings) {
    self.init()
    // Beyond an eighth of the ring the reader is woken; below, it looks by itself often enough.
    wakeup_bytes = UInt64(settings.ringBytes / 8)
    // The smallest rings can be filled by small records within the time that the reader sleeps.
    wakeup_record_bytes = settings.ringBytes >= 4 << 20 ? 2048 : 0
    max_bytes = settings.bytesPerCallMaximum ?? 0
    filter_by_process = settings.filtersByProcess ? 1 : 0
    filter_loopback = settings.filters.skipsLoopback ? 1 : 0
    filter_protocols = UInt8(settings.filters.protocols.reduce(0) { $0 | $1.bit })
    filter_role =
      switch settings.filters.direction {
      case .all: UInt8(TAP_ROLE_UNKNOWN.rawValue)
      case .egress: UInt8(TAP_ROLE_CLIENT.rawValue)
      case .ingress: UInt8(TAP_ROLE_SERVER.rawValue)
      }
    filter_by_container = settings.filters.containers.isEmpty ? 0 : 1
    filter_port_count = store(settings.filters.ports, in: &filter_ports)
    filter_user_count = store(settings.filters.users, in: &filter_users)
    filter_comm_count = store(settings.filters.comms.map(\.padded), in: &filter_comms)
    filter_program_count = store(settings.filters.programs.map(tap_program_file.init), in: &filter_programs)
    filter_cgroup_count = UInt32(settings.filters.cgroups.count)
  }
}

/// Stores the values that find room, and returns how many that is: as many as `FilterOptions` accepts.
private func store<Element: BitwiseCopyable, Room>(_ values: [Element], in room: inout Room) -> UInt32 {
  withUnsafeMutableBytes(of: &room) { room in
    let values = values.prefix(room.count / MemoryLayout<Element>.stride)
    for (index, value) in values.enumerated() {
      room.storeBytes(of: value, toByteOffset: index * MemoryLayout<Element>.stride, as: Element.self)
    }
    return UInt32(values.count)
  }
}

extension FilterProtocol {
  fileprivate var bit: UInt32 {
    switch self {
    case .redis: TAP_PROTOCOL_REDIS.rawValue
    case .http: TAP_PROTOCOL_HTTP.rawValue
    }
  }
}

extension ProcessName {
  fileprivate var padded: SIMD16<UInt8> {
    var padded = SIMD16<UInt8>()
    for (index, byte) in bytes.prefix(ProcessName.bytesMaximum).enumerated() { padded[index] = byte }
    return padded
  }
}

extension tap_program_file {
  fileprivate init(_ program: ProgramFile) {
    self.init(inode: program.inode, device: program.device, reserved: 0)
  }
}
