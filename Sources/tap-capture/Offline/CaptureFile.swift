// A pcap or pcapng file, or a pipe of one, through libpcap.
import CLibpcap
import Glibc
import TapWire

/// An open capture file.
struct CaptureFile: ~Copyable {
  /// Why a file, or a filter, cannot be used.
  enum Problem: Error {
    case open(errno: Int32)
    case read(errno: Int32)
    /// What libpcap finds wrong with the file.
    case format(String)
    case linkType(String)
    /// What libpcap's compiler finds wrong with the filter expression.
    case filter(String)
  }

  /// One captured packet; valid until the next is read.
  struct Packet {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    let time: UInt64
    let bytes: UnsafeRawBufferPointer
    /// What there was on the wire.
    let wireBytes: Int
    let options: PacketOptions
  }

  let input: CaptureInput
  let linkLayer: LinkLayer
  private let handle: OpaquePointer
  private var filter: bpf_program
  private let isFiltered: Bool
  /// Packets read, those that the filter left out included.
  private(set) var packets: UInt64
  private var classicOffset: UInt64

  /// Opens `path` (`-` is stdin) and compiles the filter, in the syntax of pcap-filter(7).
  init(path: String, filter expression: String?) throws(Problem) {
    let input: CaptureInput
    do throws(CaptureInput.SystemError) {
      input = try CaptureInput(path: path)
    } catch {
      throw .open(errno: error.code)
    }
    guard let stream = input.stream() else { throw .open(errno: ENOMEM) }
    var message = [CChar](repeating: 0, count: Int(PCAP_ERRBUF_SIZE))
    let precision = UInt32(PCAP_TSTAMP_PRECISION_NANO)
    guard let handle = pcap_fopen_offline_with_tstamp_precision(stream, precision, &message) else {
      fclose(stream)
      if let code = input.failure { throw .read(errno: code) }
      throw .format(String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }
    let dataLink = pcap_datalink(handle)
    guard let linkLayer = LinkLayer(dataLink: dataLink) else {
      let name = pcap_datalink_val_to_name(dataLink).map { String(cString: $0) } ?? "\(dataLink)"
      pcap_close(handle)
      throw .linkType(name)
    }
    var filter = bpf_program()
    if let expression {
      guard pcap_compile(handle, &filter, expression, 1, UInt32.max) == 0 else {
        let text = String(cString: pcap_geterr(handle))
        pcap_close(handle)
        throw .filter(text)
      }
    }
    self.input = input
    self.handle = handle
    self.filter = filter
    isFiltered = expression != nil
    packets = 0
    // Behind the file's header.
    classicOffset = 24
    self.linkLayer = linkLayer
  }

  deinit {
    if isFiltered {
      var filter = filter
      pcap_freecode(&filter)
    }
    pcap_close(handle)
  }

  /// The next packet that the filter takes, or nil at the end. Throws where the file is cut or damaged. Also while the filter
  /// takes none the progress is shown.
  mutating func next(_ progress: inout ProgressLine) throws(Problem) -> Packet? {
    while true {
      var header: UnsafeMutablePointer<pcap_pkthdr>?
      var data: UnsafePointer<UInt8>?
      switch pcap_next_ex(handle, &header, &data) {
      case 1:
        guard let header, let data else { return nil }
        packets += 1
        if packets % 4096 == 0 {
          progress.update(packets: packets, readBytes: input.readBytes, sizeBytes: input.sizeBytes)
        }
        classicOffset += 16 + UInt64(header.pointee.caplen)
        let options = input.blocks.format == .pcapng ? input.blocks.takePacket() : PacketOptions()
        if isFiltered, pcap_offline_filter(&filter, header, data) == 0 { continue }
        return packet(header.pointee, data, options)
      case PCAP_ERROR_BREAK:
        return nil
      default:
        if let code = input.failure { throw .read(errno: code) }
        throw .format(String(cString: pcap_geterr(handle)))
      }
    }
  }

  private func packet(_ header: pcap_pkthdr, _ data: UnsafePointer<UInt8>, _ options: PacketOptions) -> Packet {
    // With nanosecond precision libpcap keeps nanoseconds in tv_usec. A negative time is as good as none.
    let seconds = UInt64(max(0, header.ts.tv_sec))
    let (time, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    let (sum, sumOverflow) = time.addingReportingOverflow(UInt64(max(0, header.ts.tv_usec)))
    return Packet(
      time: overflow || sumOverflow ? 0 : sum,
      bytes: UnsafeRawBufferPointer(start: data, count: Int(header.caplen)),
      wireBytes: Int(max(header.caplen, header.len)), options: options)
  }

  /// Where in the file the packet behind the last one read begins, if the format is one of those that tell.
  var nextOffset: UInt64? {
    switch input.blocks.format {
    case .pcap: classicOffset
    case .pcapng: input.blocks.nextOffset
    case .other, .unknown: nil
    }
  }
}
