// The command of `tap-capture -- COMMAND`: started before the capture, let go when it is ready.
import CaptureSystem
import Glibc
import TapWire

struct LaunchedCommand: ~Copyable {
  let name: String
  private var launched: tap_launched
  private var isReleased = false

  var pid: Int32 { launched.pid }

  /// Forks the process, which waits. `arguments` must not be empty.
  static func start(_ arguments: [String]) throws(CaptureFailure) -> LaunchedCommand {
    let name = arguments.first ?? ""
    let user = CallingUser.find()
    var launched = tap_launched()
    var strings = arguments.map { strdup($0) }
    strings.append(nil)
    defer { for string in strings { free(string) } }
    let failure = user.withCStructure { tap_launch(strings, $0, &launched) }
    guard failure == 0 else {
      throw CaptureFailure("cannot start '\(name)': \(errorText(failure))", status: .unavailable)
    }
    return LaunchedCommand(name: name, launched: launched)
  }

  private init(name: String, launched: tap_launched) {
    self.name = name
    self.launched = launched
  }

  deinit {
    // A capture that never began takes its waiting command with it: the closed pipe ends the process.
    guard !isReleased else { return }
    close(launched.release)
    close(launched.failure)
    waitpid(launched.pid, nil, 0)
  }

  /// Lets it go. A failed exec is told on stderr; the process then ends with 126 or 127, like a shell's.
  mutating func release() {
    isReleased = true
    let failure = tap_release(&launched)
    if failure != 0 {
      Diagnostics(program: "tap-capture").report("cannot run '\(name)': \(errorText(failure))")
    }
  }

  /// Its exit status as a shell gives it, once it has ended; nil before.
  func endedStatus() -> Int32? { wait(options: WNOHANG) }

  /// Waits for its end.
  func waitForEnd() -> Int32 {
    while true {
      if let status = wait(options: 0) { return status }
    }
  }

  private func wait(options: Int32) -> Int32? {
    var status: Int32 = 0
    let result = waitpid(launched.pid, &status, options)
    if result == launched.pid {
      CaptureSignals.command.store(0, ordering: .relaxed)
      return shellStatus(status)
    }
    // Nobody else waits for it; if it cannot be waited for, there is nothing to wait for.
    return result < 0 && errno != EINTR ? 1 : nil
  }
}

/// What a shell says for a status of wait(2): the exit status, or 128 and the number of the signal.
func shellStatus(_ status: Int32) -> Int32 {
  let signal = status & 0x7f
  return signal == 0 ? (status >> 8) & 0xff : 128 + signal
}

/// Who called, where sudo tells.
struct CallingUser: Equatable {
  var name: String
  var home: String
  var uid: uid_t
  var gid: gid_t

  static func find() -> CallingUser? {
    guard geteuid() == 0, let text = getenv("SUDO_UID"), let uid = uid_t(String(cString: text)), uid != 0,
      let entry = getpwuid(uid)
    else { return nil }
    return CallingUser(
      name: String(cString: entry.pointee.pw_name), home: String(cString: entry.pointee.pw_dir), uid: uid,
      gid: entry.pointee.pw_gid)
  }
}

extension CallingUser? {
  fileprivate func withCStructure<Result>(_ body: (UnsafePointer<tap_user>?) -> Result) -> Result {
    guard let self else { return body(nil) }
    return self.name.withCString { name in
      self.home.withCString { home in
        var user = tap_user(name: name, home: home, uid: self.uid, gid: self.gid)
        return withUnsafePointer(to: &user) { body($0) }
      }
    }
  }
}
