// A flow's frame from the kernel program's record of it.
import CaptureRecords
import Glibc
import TapWire

extension FlowFrame {
  init(_ record: tap_flow_record, process: UInt64) {
    let role: Role =
      switch tap_role(UInt32(record.role)) {
      case TAP_ROLE_CLIENT: .client
      case TAP_ROLE_SERVER: .server
      default: .unknown
      }
    self.init(
      id: record.flow_id, process: process, transport: "tcp",
      local: withUnsafeBytes(of: record.local_address) {
        Address(bytes: $0, isIPv6: record.is_ipv6 != 0, port: record.local_port)
      },
      remote: withUnsafeBytes(of: record.remote_address) {
        Address(bytes: $0, isIPv6: record.is_ipv6 != 0, port: record.remote_port)
      },
      role: role, isPreexisting: record.is_joined != 0)
  }
}

extension Address {
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
