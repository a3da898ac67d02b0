// The consumer's side of the kernel ring (Documentation/bpf/ringbuf.rst), read in place.
import CaptureSystem
import Glibc
import TapWire

/// Maps a BPF ring and walks its records.
struct RingReader: ~Copyable {
  // include/uapi/linux/bpf.h
  private static let busyBit: UInt32 = 1 << 31
  private static let discardBit: UInt32 = 1 << 30
  private static let headerBytes = 8

  private let consumerPage: UnsafeMutableRawPointer
  private let producerPage: UnsafeMutableRawPointer
  private let records: UnsafeRawPointer
  private let ringBytes: Int
  private let pageBytes: Int
  /// Bytes of the ring read since it was made.
  private(set) var position: UInt64

  /// `descriptor` is that of the map, which stays the caller's; `ringBytes` is its size.
  static func map(descriptor: Int32, ringBytes: Int) throws(CaptureFailure) -> RingReader {
    let pageBytes = sysconf(Int32(_SC_PAGESIZE))
    guard let consumer = mmap(nil, pageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), consumer != MAP_FAILED
    else { throw LoadFailure.diagnose(errno, doing: "map the ring") }
    // The kernel maps the records twice in a row, so that one that wraps around is read in one piece.
    guard let producer = mmap(nil, pageBytes + 2 * ringBytes, PROT_READ, MAP_SHARED, descriptor, pageBytes),
      producer != MAP_FAILED
    else {
      let failure = errno
      munmap(consumer, pageBytes)
      throw LoadFailure.diagnose(failure, doing: "map the ring")
    }
    return RingReader(consumerPage: consumer, producerPage: producer, ringBytes: ringBytes, pageBytes: pageBytes)
  }

  private init(
    consumerPage: UnsafeMutableRawPointer, producerPage: UnsafeMutableRawPointer, ringBytes: Int, pageBytes: Int
  ) {
    self.consumerPage = consumerPage
    self.producerPage = producerPage
    self.ringBytes = ringBytes
    self.pageBytes = pageBytes
    records = UnsafeRawPointer(producerPage + pageBytes)
    position = tap_load_acquire_64(consumerPage)
  }

  deinit {
    munmap(consumerPage, pageBytes)
    munmap(producerPage, pageBytes + 2 * ringBytes)
  }

  /// Shows how full it is, as long as the reader lives.
  var gauge: RingGauge {
    RingGauge(consumerPage: consumerPage, producerPage: producerPage, sizeBytes: ringBytes)
  }

  /// Bytes of the ring reserved since it was made.
  var endPosition: UInt64 { tap_load_acquire_64(producerPage) }

  /// Hands over the records that are ready, in order, and returns whether it came to the end of them; it stops after about
  /// `limitBytes`. A record is valid during its call only.
  mutating func consume(limitBytes: Int, _ receive: (UnsafeRawBufferPointer) -> Void) -> Bool {
    let start = position
    var unreleased = 0
    defer { tap_store_release_64(consumerPage, position) }
    while endPosition != position {
      let header = records + Int(position & UInt64(ringBytes - 1))
      let word = tap_load_acquire_32(header)
      // Reserved and not submitted yet: what is behind it must wait, so that the order is that of the reservations.
      guard word & RingReader.busyBit == 0 else { return true }
      let length = Int(word & ~RingReader.discardBit)
      if word & RingReader.discardBit == 0 {
        receive(UnsafeRawBufferPointer(start: header + RingReader.headerBytes, count: length))
      }
      let step = (RingReader.headerBytes + length + 7) & ~7
      position += UInt64(step)
      unreleased += step
      // Room is given back in larger pieces: each store takes the cache line away from the kernel.
      if unreleased >= 64 << 10 {
        tap_store_release_64(consumerPage, position)
        unreleased = 0
      }
      if position - start >= UInt64(limitBytes) { return false }
    }
    return true
  }
}

/// How full a ring is. Any thread may look.
struct RingGauge: @unchecked Sendable {
  fileprivate let consumerPage: UnsafeRawPointer
  fileprivate let producerPage: UnsafeRawPointer
  let sizeBytes: Int

  fileprivate init(consumerPage: UnsafeRawPointer, producerPage: UnsafeRawPointer, sizeBytes: Int) {
    self.consumerPage = consumerPage
    self.producerPage = producerPage
    self.sizeBytes = sizeBytes
  }

  var bytesInUse: UInt64 {
    // In this order: the reader may go on in between, but never beyond the end that is seen after.
    let consumed = tap_load_acquire_64(consumerPage)
    return tap_load_acquire_64(producerPage) &- consumed
  }
}
