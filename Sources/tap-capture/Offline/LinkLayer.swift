// From a link-layer frame to the IP packet in it. Link types are those of https://www.tcpdump.org/linktypes.html.
import CLibpcap

/// Finds the IP packet in frames of one link type.
enum LinkLayer {
  case ethernet
  case linuxCooked1
  case linuxCooked2
  case raw
  case loopback

  /// Nil for link types that carry no IP that is understood here.
  init?(dataLink: Int32) {
    switch dataLink {
    case DLT_EN10MB: self = .ethernet
    case DLT_LINUX_SLL: self = .linuxCooked1
    case 276: self = .linuxCooked2  // DLT_LINUX_SLL2, not in every <pcap/dlt.h>
    case DLT_RAW, 12, 14, 101, 228, 229: self = .raw  // raw IP of several systems; LINKTYPE_IPV4 and LINKTYPE_IPV6
    case DLT_NULL, DLT_LOOP: self = .loopback
    default: return nil
    }
  }

  /// The IP packet in `frame`, or nil where it carries something else.
  func packet(in frame: PacketBytes) -> PacketBytes? {
    switch self {
    case .ethernet: return LinkLayer.network(in: frame, etherTypeAt: 12)
    case .linuxCooked1: return LinkLayer.network(in: frame, etherTypeAt: 14)
    case .linuxCooked2: return frame.uint16(at: 0).flatMap { LinkLayer.network(in: frame, type: $0, headerBytes: 20) }
    case .raw: return frame
    // A 4-byte address family in the byte order of the capturing machine. IP's own version is the better witness.
    case .loopback: return frame.dropping(4)
    }
  }

  private static func network(in frame: PacketBytes, etherTypeAt position: Int) -> PacketBytes? {
    frame.uint16(at: position).flatMap { network(in: frame, type: $0, headerBytes: position + 2) }
  }

  /// Steps over VLAN tags (IEEE 802.1Q, 802.1ad and the older 0x9100), of which there may be several.
  private static func network(in frame: PacketBytes, type: UInt16, headerBytes: Int) -> PacketBytes? {
    var type = type
    var headerBytes = headerBytes
    while type == 0x8100 || type == 0x88a8 || type == 0x9100 {
      guard let inner = frame.uint16(at: headerBytes + 2) else { return nil }
      type = inner
      headerBytes += 4
    }
    return type == 0x0800 || type == 0x86dd ? frame.dropping(headerBytes) : nil
  }
}
