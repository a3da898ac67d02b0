// Colors of the pretty output (ECMA-48, SGR): nothing is said by color alone, so leaving it out loses nothing.

/// The escape sequences that a line uses; all empty where the output is not colored.
struct Palette {
  let arrow: StaticString
  let error: StaticString
  let flag: StaticString
  let dim: StaticString
  let reset: StaticString

  static let none = Palette(arrow: "", error: "", flag: "", dim: "", reset: "")
  static let terminal = Palette(
    arrow: "\u{1b}[36m", error: "\u{1b}[31m", flag: "\u{1b}[33m", dim: "\u{1b}[2m", reset: "\u{1b}[0m")
}
