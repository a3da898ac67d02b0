// Where the capture waits when the ring is empty: for a wake-up of the kernel program, for the end of the output's
// reader, and never longer than a moment, because most records come without a wake-up.
import CaptureSystem
import Glibc

struct Waiter: ~Copyable {
  /// The longest wait while anything happens; what arrives is late by at most this.
  static let longestMilliseconds: Int32 = 10
  /// The longest sleep while nothing does: the first record ends it. What the capture does by the clock is late by at
  /// most this.
  static let longestSleepMilliseconds: Int32 = 100

  private enum Attention {
    /// Records come without a wake-up.
    case awake
    /// The kernel program has been told to wake us. A program that had looked just before it was told is about to
    /// show what it has reserved: one more short wait, and nobody can have missed it.
    case dozing
    /// Every program knows.
    case asleep
  }

  private let epoll: Int32
  private let output: Int32
  private var attention = Attention.awake
  /// Where the ring stood at the last wait, if that has passed without anything.
  private var silentPosition: UInt64?

  /// `ring` and `output` stay the caller's.
  static func open(ring: Int32, output: Int32) throws(CaptureFailure) -> Waiter {
    let epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
    guard epoll >= 0 else { throw LoadFailure.diagnose(errno, doing: "wait for events") }
    // Edge-triggered: otherwise a ring that holds anything at all would never let us wait.
    var ringEvent = epoll_event(events: EPOLLIN.rawValue | EPOLLET.rawValue, data: epoll_data_t(fd: ring))
    guard epoll_ctl(epoll, EPOLL_CTL_ADD, ring, &ringEvent) == 0 else {
      let failure = errno
      close(epoll)
      throw LoadFailure.diagnose(failure, doing: "wait for the ring")
    }
    // Errors are always reported; regular files cannot be waited for, and need not be.
    var outputEvent = epoll_event(events: 0, data: epoll_data_t(fd: output))
    epoll_ctl(epoll, EPOLL_CTL_ADD, output, &outputEvent)
    return Waiter(epoll: epoll, output: output)
  }

  private init(epoll: Int32, output: Int32) {
    self.epoll = epoll
    self.output = output
  }

  deinit { close(epoll) }

  /// Waits until there may be something in the ring, and returns false if the output has no reader any more.
  mutating func wait(for ring: borrowing RingReader, of program: borrowing KernelProgram) -> Bool {
    if ring.endPosition != silentPosition {
      attention = .awake
      program.wakesReader = false
    } else if attention == .awake {
      attention = .dozing
      program.wakesReader = true
    } else {
      attention = .asleep
    }
    let position = ring.position
    let limit = attention == .asleep ? Waiter.longestSleepMilliseconds : Waiter.longestMilliseconds
    var event = epoll_event()
    let count = epoll_wait(epoll, &event, 1, limit)
    silentPosition = count == 0 ? position : nil
    return count <= 0 || event.data.fd != output
  }
}
