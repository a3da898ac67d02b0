// A flow's frame from the kernel program's record of it.
import CaptureRecords
import Glibc
import TapWire

extension FlowFrame {
  init(_ flow: OpenFlow) {
    let record = flow.record
    let role: Role =
      switch tap_role(UInt32(record.role)) {
      case TAP_ROLE_CLIENT: .client
      case TAP_ROLE_SERVER: .server
      default: .unknown
      }
    self.init(
      id: record.flow_id, process: flow.process, transport: record.isUnix ? "unix" : "tcp",
      local: Address(record.local, family: record.family), remote: Address(record.remote, family: record.family),
      role: role, isPreexisting: record.is_joined != 0,
      opened: record.opened_ns == 0 ? nil : record.opened_ns,
      peerPID: record.peer_pid == 0 ? nil : UInt64(record.peer_pid), isInterleaved: flow.isOverlapping,
      peerFlow: flow.peerFlow, peerProcess: flow.peerProcess)
  }
}

extension tap_flow_record {
  /// The word of the close frame.
  var endReason: String {
    if is_dismissed != 0 { return "dismissed" }
    return switch tap_end_reason(UInt32(end_reason)) {
    case TAP_END_RESET: "reset"
    case TAP_END_TIMED_OUT: "timed_out"
    default: "closed"
    }
  }

  var isUnix: Bool { family == UInt8(TAP_FAMILY_UNIX.rawValue) }
}

extension Address {
  init(_ address: tap_address, family: UInt8) {
    self = withUnsafeBytes(of: address.bytes) { bytes in
      switch tap_family(UInt32(family)) {
      case TAP_FAMILY_UNIX: Address(unixName: bytes.prefix(Int(address.name_length)))
      case TAP_FAMILY_IPV6:
        Address(bytes: UnsafeRawBufferPointer(rebasing: bytes[..<16]), isIPv6: true, port: address.port)
      default: Address(bytes: UnsafeRawBufferPointer(rebasing: bytes[..<4]), isIPv6: false, port: address.port)
      }
    }
  }

  /// A path ends at its NUL; an abstract name begins with one, and all of it counts (unix(7)).
  init(unixName name: Slice<UnsafeRawBufferPointer>) {
    self = .unix(name.first == 0 ? Array(name) : Array(name.prefix { $0 != 0 }))
  }

  /// An address as a socket holds it. An IPv6 socket that talks IPv4 holds `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2); it is
  /// told as IPv4, so that both ends of a connection name it alike.
  init(bytes: UnsafeRawBufferPointer, isIPv6: Bool, port: UInt16) {
    let mappedPrefix: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
    let isMapped = isIPv6 && bytes.starts(with: mappedPrefix)
    let address = UnsafeRawBufferPointer(rebasing: isMapped ? bytes[12...] : bytes[...])
    let text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { buffer -> String in
      let family = isIPv6 && !isMapped ? AF_INET6 : AF_INET
      guard inet_ntop(family, address.baseAddress, buffer.baseAddress, socklen_t(buffer.count)) != nil,
        let start = buffer.baseAddress
      else { return "" }
      return String(cString: start)
    }
    self = .ip(text, port: port)
  }
}
