// How every program starts and fails: what ArgumentParser finds wrong is said in the toolkit's own form.
import ArgumentParser
import Glibc
import TapWire

extension ParsableCommand {
  /// Parses the command line, runs the program and exits.
  ///
  /// A mistake in the command line is one line with the program's name and one with the remedy, status 64 (EX_USAGE);
  /// help and the version go to stdout, status 0.
  public static func launch() -> Never {
    do {
      var command = try parseAsRoot()
      try command.run()
      Self.exit()
    } catch {
      let code = exitCode(for: error)
      guard code == .validationFailure, !(error is ExitCode) else { Self.exit(withError: error) }
      let program = configuration.commandName ?? _commandName
      Diagnostics(program: program).report(message(for: error), remedy: "See '\(program) --help'.")
      Glibc.exit(ExitStatus.usage.rawValue)
    }
  }
}
