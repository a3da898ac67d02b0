// The threads that look containers up: a file system may hang, and the capture goes on.
import Glibc
import Synchronization

final class ContainerLookups: Sendable {
  /// At once, besides those that hang.
  static let maximumWorking = 4
  /// A lookup that hangs keeps its thread.
  static let maximumThreads = 64
  /// After this long a lookup is taken for one that hangs.
  static let patienceNanoseconds: UInt64 = 1_000_000_000

  private struct State {
    var questions: [ContainerQuestion] = []
    var answers: [ContainerAnswer] = []
    var threads = 0
    /// When the lookups that are being made began.
    var begun: [Int: UInt64] = [:]
    var lastLookup = 0
    var budget = LookupBudget(at: clockNanoseconds(CLOCK_MONOTONIC))

    /// Whether another thread is of use; counts it then.
    mutating func addThread(at now: UInt64) -> Bool {
      let hanging = begun.values.count { $0 + ContainerLookups.patienceNanoseconds < now }
      guard !questions.isEmpty, threads - hanging < maximumWorking, threads < maximumThreads else { return false }
      threads += 1
      return true
    }
  }
  private let state = Mutex(State())
  private let answer: @Sendable (ContainerQuestion) -> ContainerAnswer

  init(answer: @escaping @Sendable (ContainerQuestion) -> ContainerAnswer = ContainerLookup.answer) {
    self.answer = answer
  }

  func ask(_ question: ContainerQuestion) {
    state.withLock { $0.questions.append(question) }
    startThreadIfUseful()
  }

  /// The answers since the last call.
  func takeAnswers() -> [ContainerAnswer] {
    // A lookup may have hung since the last question came.
    startThreadIfUseful()
    return state.withLock { state in
      defer { state.answers.removeAll() }
      return state.answers
    }
  }

  private func startThreadIfUseful() {
    let now = clockNanoseconds(CLOCK_MONOTONIC)
    guard state.withLock({ $0.addThread(at: now) }) else { return }
    if !startThread({ self.work() }) { state.withLock { $0.threads -= 1 } }
  }

  /// Answers until there is no question left.
  private func work() {
    while let (number, question) = nextQuestion() {
      let start = clockNanoseconds(CLOCK_THREAD_CPUTIME_ID)
      var answer = self.answer(question)
      answer.costNanoseconds = clockNanoseconds(CLOCK_THREAD_CPUTIME_ID) - start
      let pause = state.withLock { state in
        state.begun[number] = nil
        state.answers.append(answer)
        return state.budget.pay(answer.costNanoseconds, at: clockNanoseconds(CLOCK_MONOTONIC))
      }
      if pause > 0 { usleep(UInt32(clamping: pause / 1000)) }
    }
  }

  private func nextQuestion() -> (Int, ContainerQuestion)? {
    state.withLock { state in
      guard let question = state.questions.popLast() else {
        state.threads -= 1
        return nil
      }
      state.lastLookup += 1
      state.begun[state.lastLookup] = clockNanoseconds(CLOCK_MONOTONIC)
      return (state.lastLookup, question)
    }
  }
}

/// How much of a processor all lookups together may take: files that are large, or are written again and again, cost their
/// own names and not the machine.
struct LookupBudget {
  /// One part in five.
  static let share: UInt64 = 5
  /// What may be spent at once after a quiet time, as at the start with hundreds of containers.
  static let burstNanoseconds: UInt64 = 1_000_000_000

  /// When what was spent is paid off.
  private var paidOff: UInt64

  init(at now: UInt64) { paidOff = now }

  /// Returns for how long to pause.
  mutating func pay(_ cost: UInt64, at now: UInt64) -> UInt64 {
    let burst = Self.burstNanoseconds * Self.share
    paidOff = max(paidOff, now) + cost * Self.share
    return paidOff > now + burst ? paidOff - now - burst : 0
  }
}

/// What a new thread runs.
private final class ThreadBody: Sendable {
  let run: @Sendable () -> Void
  init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

/// Runs `body` on a thread of its own, which nobody waits for. Returns false if there can be none.
func startThread(_ body: @escaping @Sendable () -> Void) -> Bool {
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
