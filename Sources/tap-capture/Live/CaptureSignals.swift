// Signals: SIGINT and SIGTERM end the capture in good order, or reach the command that is captured.
import Glibc
import Synchronization
import TapWire

enum CaptureSignals {
  /// The signal that asked to stop; 0: none has.
  static let stopRequest = Atomic<Int32>(0)
  /// The command that is captured; 0: none.
  static let command = Atomic<Int32>(0)

  /// Sets the handlers. A closed pipe is seen as EPIPE.
  static func install(hasCommand: Bool) {
    signal(SIGPIPE, SIG_IGN)
    // A hangup of the terminal ends a capture like SIGTERM does, unless nohup(1) says otherwise. A shell without job control
    // ignores SIGINT for what it starts by `&`: a script ends its capture by that all the same. A command may have a use for
    // more than these.
    for number in [SIGINT, SIGTERM] + (isIgnored(SIGHUP) ? [] : [SIGHUP])
      + (hasCommand ? [SIGQUIT, SIGUSR1, SIGUSR2] : [])
    {
      var action = sigaction()
      action.sa_flags = SA_SIGINFO
      action.__sigaction_handler.sa_sigaction = { number, information, _ in
        CaptureSignals.handle(number, isFromTerminal: information?.pointee.si_code == CaptureSignals.fromKernel)
      }
      sigaction(number, &action, nil)
    }
  }

  // SI_KERNEL of <asm-generic/siginfo.h>: what the terminal sends comes from the kernel.
  private static let fromKernel: Int32 = 0x80

  private static func handle(_ number: Int32, isFromTerminal: Bool) {
    let saved = errno
    let child = command.load(ordering: .relaxed)
    if child > 0 {
      // The terminal has sent it to the command as well, which is in our process group.
      if !isFromTerminal { kill(child, number) }
    } else if stopRequest.exchange(number, ordering: .relaxed) != 0 {
      // A second one ends the program, even if it cannot write.
      signal(number, SIG_DFL)
      raise(number)
    }
    errno = saved
  }
}
