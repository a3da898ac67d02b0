// What standard output is: never a terminal, and where it is a file that begins now, one for its owner only.
import Glibc
import TapWire

enum RecordingFile {
  /// Throws for a terminal; frames are not for people. Takes the rights of others from an empty file.
  static func check() throws(CaptureFailure) {
    guard isatty(STDOUT_FILENO) == 0 else {
      throw CaptureFailure(
        "standard output is a terminal, but the output is binary",
        remedy: "Send it to the next stage or to a file: tap-capture | tap-resp | tap-fmt", status: .usage)
    }
    var status = stat()
    guard fstat(STDOUT_FILENO, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return }
    // What was there before may be shared on purpose; a file that begins now is ours to protect.
    // It belongs to the caller where sudo gave us our rights.
    guard status.st_size == 0, status.st_mode & 0o077 != 0, fchmod(STDOUT_FILENO, S_IRUSR | S_IWUSR) != 0 else {
      return
    }
    Diagnostics(program: "tap-capture").report(
      "others can read this recording, and its mode cannot be changed: \(errorText(errno))",
      remedy: "It holds what the processes sent, passwords included: keep it where only you can read it.")
  }
}
