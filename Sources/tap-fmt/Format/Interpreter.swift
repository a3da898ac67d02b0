// Which argument of an interpreter names its script: one argument further stands program text, with the secrets in it.
import TapWire

/// How the command line of an interpreter is read. Letters are options like `-x`, of which several may stand together.
struct Interpreter {
  private let name: StaticString
  /// Letters that say that the program is no file: a text, a module, standard input.
  private let fileless: StaticString
  /// Letters whose value is the rest of the argument or, where nothing is left of it, the next argument.
  private let valued: StaticString
  /// Longer options that say that the program is no file, in the next argument or behind a `=`.
  private let filelessWords: [StaticString]
  /// Longer options whose value is the next argument or stands behind a `=`.
  private let valuedWords: [StaticString]

  private static let known = [
    Interpreter("python", fileless: "cm", valued: "WXQ", valuedWords: ["--check-hash-based-pycs"]),
    Interpreter("perl", fileless: "eE", valued: "IMm"),
    Interpreter("ruby", fileless: "e", valued: "CEIr"),
    Interpreter(
      "node", fileless: "ep", valued: "Cr", filelessWords: ["--eval", "--print"],
      valuedWords: ["--require", "--import", "--loader", "--experimental-loader", "--conditions"]),
    Interpreter("php", fileless: "rBRE", valued: "cdStz", filelessWords: ["--run"]),
    Interpreter("lua", fileless: "e", valued: "l"),
    Interpreter("bash", fileless: "cs", valued: "oO", valuedWords: ["--rcfile", "--init-file"]),
    Interpreter("sh", fileless: "cs", valued: "o"),
    Interpreter("dash", fileless: "cs", valued: "o"),
    // What stands behind -jar or -m is what runs, as a class is that stands alone.
    Interpreter(
      "java", fileless: "", valued: "",
      valuedWords: [
        "-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-modules", "--add-exports", "--add-opens",
      ]),
  ]

  private init(
    _ name: StaticString, fileless: StaticString, valued: StaticString, filelessWords: [StaticString] = [],
    valuedWords: [StaticString] = []
  ) {
    self.name = name
    self.fileless = fileless
    self.valued = valued
    self.filelessWords = filelessWords
    self.valuedWords = valuedWords
  }

  /// Nil for another program. A version may follow the name: python3.11, php8.2, lua5.4.
  init?(program: UnsafeRawBufferPointer) {
    let name = program.prefix { !(0x30...0x39).contains($0) && $0 != UInt8(ascii: ".") }
    guard let known = Interpreter.known.first(where: { $0.name.spells(name) }) else { return nil }
    self = known
  }

  /// The argument that names the script; nil where the program is no file, or where it is not certain which argument it is.
  func script(in arguments: [UnsafeRawBufferPointer]) -> UnsafeRawBufferPointer? {
    var index = 1
    while index < arguments.count, arguments[index].first == UInt8(ascii: "-") {
      switch use(of: arguments[index]) {
      case .noFile: return nil
      case .alone: index += 1
      case .withNext: index += 2
      }
    }
    guard index < arguments.count else { return nil }
    let script = arguments[index]
    return script.contains(where: { $0 == 0x20 || (0x09...0x0d).contains($0) }) ? nil : script
  }

  private enum Use {
    case alone
    case withNext
    case noFile
  }

  private func use(of option: UnsafeRawBufferPointer) -> Use {
    let word = option.prefix { $0 != UInt8(ascii: "=") }
    if filelessWords.contains(where: { $0.spells(word) }) { return .noFile }
    if valuedWords.contains(where: { $0.spells(word) }) { return word.count == option.count ? .withNext : .alone }
    let letters = option.dropFirst()
    // Standard input.
    if letters.isEmpty { return .noFile }
    if letters.first == UInt8(ascii: "-") { return .alone }
    for (position, letter) in letters.enumerated() {
      if fileless.holds(letter) { return .noFile }
      if valued.holds(letter) { return position == letters.count - 1 ? .withNext : .alone }
    }
    return .alone
  }
}

extension StaticString {
  private var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: utf8Start, count: utf8CodeUnitCount) }

  fileprivate func holds(_ letter: UInt8) -> Bool { bytes.contains(letter) }
  fileprivate func spells(_ text: Slice<UnsafeRawBufferPointer>) -> Bool { bytes.elementsEqual(text) }
}
