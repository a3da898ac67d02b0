// What the capture may still do once it is running.
import CaptureSystem
import TapWire

enum Privileges {
  // include/uapi/linux/capability.h
  private static let dacReadSearch: UInt64 = 2
  private static let kill: UInt64 = 5
  private static let ptrace: UInt64 = 19

  /// Keeps only what the capture still needs: to read /proc of other users' processes (CAP_SYS_PTRACE for what they have
  /// open and where their program is, CAP_DAC_READ_SEARCH for the folders), and to pass signals on to a command that runs
  /// as another user (CAP_KILL). Maps and links are used through descriptors, which takes no right.
  static func drop(hasCommand: Bool) throws(CaptureFailure) {
    let kept: UInt64 = 1 << dacReadSearch | 1 << ptrace | (hasCommand ? 1 << kill : 0)
    let failure = tap_keep_capabilities(kept)
    guard failure == 0 else {
      throw CaptureFailure("cannot give up privileges: \(errorText(failure))", status: .noPermission)
    }
  }
}
