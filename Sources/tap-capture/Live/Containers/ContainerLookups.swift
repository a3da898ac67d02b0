// The threads that look containers up: a file system may hang, and the capture goes on.
import Glibc
import Synchronization

final class ContainerLookups: Sendable {
  /// At once. A lookup that hangs keeps its thread, and the others go on without it.
  static let maximumThreads = 4

  private struct State {
    var questions: [ContainerQuestion] = []
    var answers: [ContainerAnswer] = []
    var threads = 0
  }
  private let state = Mutex(State())

  func ask(_ question: ContainerQuestion) {
    let needsThread = state.withLock { state in
      state.questions.append(question)
      guard state.threads < Self.maximumThreads else { return false }
      state.threads += 1
      return true
    }
    if needsThread, !startThread({ self.work() }) { state.withLock { $0.threads -= 1 } }
  }

  /// The answers since the last call.
  func takeAnswers() -> [ContainerAnswer] {
    state.withLock { state in
      defer { state.answers.removeAll() }
      return state.answers
    }
  }

  /// Answers until there is no question left.
  private func work() {
    while let question = nextQuestion() {
      let answer = ContainerLookup.answer(question)
      state.withLock { $0.answers.append(answer) }
    }
  }

  private func nextQuestion() -> ContainerQuestion? {
    state.withLock { state in
      if let question = state.questions.popLast() { return question }
      state.threads -= 1
      return nil
    }
  }
}

/// What a new thread runs.
private final class ThreadBody: Sendable {
  let run: @Sendable () -> Void
  init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

/// Runs `body` on a thread of its own, which nobody waits for. Returns false if there can be none.
private func startThread(_ body: @escaping @Sendable () -> Void) -> Bool {
  let argument = Unmanaged.passRetained(ThreadBody(body))
  var thread = pthread_t()
  let failure = pthread_create(
    &thread, nil,
    { argument in
      // Signals are for the thread that captures: they end its wait.
      var all = sigset_t()
      sigfillset(&all)
      pthread_sigmask(SIG_BLOCK, &all, nil)
      if let argument { Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().run() }
      return nil
    }, argument.toOpaque())
  if failure == 0 { pthread_detach(thread) } else { argument.release() }
  return failure == 0
}
