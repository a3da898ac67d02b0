// A pcap or pcapng file, or a pipe of one, through libpcap.
import CLibpcap
import Glibc

/// An open capture file.
struct CaptureFile: ~Copyable {
  /// What libpcap or its filter compiler says is wrong.
  struct Problem: Error {
    let text: String
    /// Whether the filter expression is to blame, not the file.
    let isFilter: Bool
  }

  /// One captured packet; valid until the next is read.
  struct Packet {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    let time: UInt64
    let bytes: UnsafeRawBufferPointer
  }

  private let handle: OpaquePointer
  let linkLayer: LinkLayer

  /// Opens `path` (`-` is stdin) and compiles the filter, in the syntax of pcap-filter(7).
  init(path: String, filter: String?) throws(Problem) {
    var message = [CChar](repeating: 0, count: Int(PCAP_ERRBUF_SIZE))
    let precision = UInt32(PCAP_TSTAMP_PRECISION_NANO)
    guard let handle = pcap_open_offline_with_tstamp_precision(path, precision, &message) else {
      throw Problem(text: CaptureFile.text(message), isFilter: false)
    }
    let dataLink = pcap_datalink(handle)
    guard let linkLayer = LinkLayer(dataLink: dataLink) else {
      let name = pcap_datalink_val_to_name(dataLink).map { String(cString: $0) } ?? "\(dataLink)"
      pcap_close(handle)
      throw Problem(text: "link type \(name) is not supported", isFilter: false)
    }
    if let problem = CaptureFile.install(filter, on: handle) {
      pcap_close(handle)
      throw problem
    }
    self.handle = handle
    self.linkLayer = linkLayer
  }

  deinit { pcap_close(handle) }

  private static func install(_ filter: String?, on handle: OpaquePointer) -> Problem? {
    guard let filter else { return nil }
    var program = bpf_program()
    guard pcap_compile(handle, &program, filter, 1, UInt32.max) == 0 else {
      return Problem(text: String(cString: pcap_geterr(handle)), isFilter: true)
    }
    defer { pcap_freecode(&program) }
    return pcap_setfilter(handle, &program) == 0
      ? nil : Problem(text: String(cString: pcap_geterr(handle)), isFilter: true)
  }

  private static func text(_ message: [CChar]) -> String {
    String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// The next packet, or nil at the end. Throws where the file is cut or damaged.
  mutating func next() throws(Problem) -> Packet? {
    var header: UnsafeMutablePointer<pcap_pkthdr>?
    var data: UnsafePointer<UInt8>?
    switch pcap_next_ex(handle, &header, &data) {
    case 1:
      guard let header, let data else { return nil }
      // With nanosecond precision libpcap keeps nanoseconds in tv_usec. A negative time is as good as none.
      let seconds = UInt64(max(0, header.pointee.ts.tv_sec))
      let nanoseconds = UInt64(max(0, header.pointee.ts.tv_usec))
      let (time, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
      return Packet(
        time: overflow ? 0 : time &+ nanoseconds,
        bytes: UnsafeRawBufferPointer(start: data, count: Int(header.pointee.caplen)))
    case PCAP_ERROR_BREAK:
      return nil
    default:
      throw Problem(text: String(cString: pcap_geterr(handle)), isFilter: false)
    }
  }
}
