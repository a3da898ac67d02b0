// Which arguments of a command are keys, by the key specifications of redis-server's own command table.
import TapWire

/// One specification: where keys begin, and how many there are (redis.io, "Key specifications"). Positions are those of
/// `argv`, where 0 is the command's name.
struct KeySpecification {
  private enum Extent {
    /// Up to `last` (negative: from the end) in steps; of the rest only one part in `limit`, where that is more than 1.
    case range(last: Int, step: Int, limit: Int)
    /// As many as the argument at `count` says, from `first` on, both counted from the beginning.
    case counted(count: Int, first: Int, step: Int)
  }

  /// Keys begin behind this word, which is looked for from `position` on; empty where they begin at `position`.
  private let keyword: String
  private let position: Int
  private let extent: Extent
  private let isEmptyNone: Bool

  /// `BEGIN+LAST/STEP/LIMIT` or `BEGIN#COUNT/FIRST/STEP`, BEGIN being `@POSITION` or `KEYWORD@POSITION`; `?` in front where
  /// its one key may be empty, and is none then.
  init?(_ text: Substring) {
    isEmptyNone = text.first == "?"
    let parts = (isEmptyNone ? text.dropFirst() : text).split(
      separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, let mark = parts[1].firstIndex(where: { $0 == "+" || $0 == "#" }),
      let position = Int(parts[1][..<mark])
    else { return nil }
    let numbers = parts[1][parts[1].index(after: mark)...].split(separator: "/").compactMap { Int($0) }
    guard numbers.count == 3 else { return nil }
    keyword = String(parts[0])
    self.position = position
    extent =
      parts[1][mark] == "+"
      ? .range(last: numbers[0], step: max(1, numbers[1]), limit: numbers[2])
      : .counted(count: numbers[0], first: numbers[1], step: max(1, numbers[2]))
  }

  /// Whether the positions follow from the number of arguments alone.
  var isConstant: Bool {
    guard keyword.isEmpty, !isEmptyNone, case .range = extent else { return false }
    return true
  }

  /// Whether an argument says how many keys there are.
  var isCounted: Bool {
    if case .counted = extent { return true }
    return false
  }

  /// Where keys are: so many, at equal distances. How many there are is what a peer announces: nothing may take a step for each.
  struct Positions {
    var first = 0
    var step = 1
    var count = 0

    /// The first of them, in ascending order.
    func prefix(_ limit: Int) -> some Sequence<Int> { (0..<min(count, limit)).lazy.map { first + $0 * step } }
  }

  /// The positions of the keys.
  ///
  /// `argument` gives an argument as text; nil where it is not there or not whole.
  func positions(argumentCount: Int, argument: (Int) -> String?) -> Positions {
    guard let begin = begin(argumentCount: argumentCount, argument) else { return Positions() }
    var first = begin
    let last: Int
    let step: Int
    switch extent {
    case .range(let lastKey, let keyStep, let limit):
      step = keyStep
      if lastKey >= 0 {
        last = begin + lastKey
      } else if limit > 1 {
        last = begin + (argumentCount - begin) / limit + lastKey
      } else {
        last = argumentCount + lastKey
      }
    case .counted(let count, let offset, let keyStep):
      step = keyStep
      guard let keys = argument(begin + count).flatMap({ Int($0) }), keys > 0, keys <= argumentCount else {
        return Positions()
      }
      first = begin + offset
      last = first + (keys - 1) * keyStep
    }
    let end = min(last, argumentCount - 1)
    guard first <= end, !isEmptyNone || argument(first)?.isEmpty == false else { return Positions() }
    return Positions(first: first, step: step, count: (end - first) / step + 1)
  }

  private func begin(argumentCount: Int, _ argument: (Int) -> String?) -> Int? {
    if keyword.isEmpty { return position }
    // A negative position counts from the end, where MIGRATE's word never is: it has any number of keys behind it.
    var index = max(1, position)
    // No command has more options than this before the word.
    let limit = min(argumentCount, index + KeySpecification.searchedArguments)
    while index < limit {
      if argument(index)?.uppercased() == keyword { return index + 1 }
      index += 1
    }
    return nil
  }

  private static let searchedArguments = 64
}
