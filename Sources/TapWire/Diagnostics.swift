// What the programs say to a person: on stderr, with the program's name, what to do, and the exit status of sysexits(3).
import Glibc

/// Exit statuses, as sysexits(3) numbers them.
public enum ExitStatus: Int32, Sendable {
  case success = 0
  /// EX_USAGE: the command line is wrong.
  case usage = 64
  /// EX_DATAERR: the input is not what the program reads.
  case badInput = 65
  /// EX_NOINPUT: a file that is to be read cannot be opened.
  case noInput = 66
  /// EX_UNAVAILABLE: something the program needs is missing on this machine.
  case unavailable = 69
  /// EX_IOERR: reading or writing failed.
  case inputOutput = 74
  /// EX_NOPERM: the user may not do this.
  case noPermission = 77
}

/// Messages of one program.
public struct Diagnostics: Sendable {
  public let program: String
  let descriptor: Int32

  public init(program: String, descriptor: Int32 = STDERR_FILENO) {
    self.program = program
    self.descriptor = descriptor
  }

  /// Writes `program: message` to stderr (or the other descriptor), and the remedy on a line of its own.
  public func report(_ message: String, remedy: String? = nil) {
    var text = "\(program): \(message)\n"
    if let remedy { text += "  \(remedy)\n" }
    // One write, so that messages of several stages on one terminal do not mix within a line.
    text.withUTF8 { _ = Glibc.write(descriptor, $0.baseAddress, $0.count) }
  }
}

/// A system error's text, as strerror(3) gives it.
public func errorText(_ code: Int32) -> String { String(cString: strerror(code)) }
