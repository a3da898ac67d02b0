// Where the capture waits when the ring is empty: for a wake-up of the kernel program, for the end of the output's
// reader, and never longer than a moment, because small records come without a wake-up.
import CaptureSystem
import Glibc

struct Waiter: ~Copyable {
  /// The longest wait; what arrives is late by at most this.
  static let longestMilliseconds: Int32 = 10

  private let epoll: Int32
  private let output: Int32

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

  deinit { close(epoll) }

  /// Waits, and returns false if the output has no reader any more.
  func wait() -> Bool {
    var event = epoll_event()
    let count = epoll_wait(epoll, &event, 1, Waiter.longestMilliseconds)
    return count <= 0 || event.data.fd != output
  }
}
