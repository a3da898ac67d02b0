// Why a capture cannot begin or go on, in words for the person who started it.
import TapWire

/// A failure with its remedy and exit status.
struct CaptureFailure: Error, Equatable {
  var message: String
  var remedy: String?
  var status: ExitStatus

  init(_ message: String, remedy: String? = nil, status: ExitStatus) {
    self.message = message
    self.remedy = remedy
    self.status = status
  }
}
