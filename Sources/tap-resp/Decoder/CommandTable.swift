// What is known of each command by its name: found in a few nanoseconds.
import TapWire

/// The commands of redis-server, and what the decoder must know of some of them.
final class CommandTable: Sendable {
  static let shared = CommandTable()

  /// Of an empty slot the name is empty.
  private struct Entry {
    var name = CommandName()
    var traits = CommandTraits()
  }

  /// A power of two, so large that searches stay short.
  private static let capacity = 1024
  /// Never changed, and never freed: an array's bounds and optionals would cost more than the search.
  private nonisolated(unsafe) let slots: UnsafePointer<Entry>
  /// The key specifications that traits refer to; none have the first.
  private let specifications: [[KeySpecification]]
  /// Of `CONTAINER|SUBCOMMAND`.
  private let subcommands: [[UInt8]: CommandTraits]

  private init() {
    let slots = UnsafeMutablePointer<Entry>.allocate(capacity: CommandTable.capacity)
    slots.initialize(repeating: Entry(), count: CommandTable.capacity)
    func entry(_ name: CommandName) -> UnsafeMutablePointer<Entry> {
      slots + CommandTable.slot(of: name, in: UnsafePointer(slots))
    }
    for (name, traits) in CommandTraits.special {
      let name = CommandName(name)
      entry(name).initialize(to: Entry(name: name, traits: traits))
    }
    var specifications = SpecificationList()
    var subcommands: [[UInt8]: CommandTraits] = [:]
    // Every start of the program reads it: bytes, and no text.
    let list = UnsafeRawBufferPointer(
      start: CommandTable.commands.utf8Start, count: CommandTable.commands.utf8CodeUnitCount)
    for line in list.split(separator: UInt8(ascii: "\n")) {
      let words = line.split(separator: UInt8(ascii: " "), maxSplits: 2)
      guard words.count >= 2 else { continue }
      let container = words[0].prefix { $0 != UInt8(ascii: "|") }
      let name = CommandName(UnsafeRawBufferPointer(rebasing: container))
      var traits = entry(name).pointee.traits
      traits.commandClass = CommandClass(words[1])
      (traits.keys, traits.areKeysConstant) = words.count > 2 ? specifications.index(of: words[2]) : (0, true)
      if container.count < words[0].count {
        traits.isContainer = false
        subcommands[Array(words[0])] = traits
        entry(name).pointee.traits.isContainer = true
      } else {
        entry(name).initialize(to: Entry(name: name, traits: traits))
      }
    }
    self.slots = UnsafePointer(slots)
    self.specifications = specifications.all
    self.subcommands = subcommands
  }

  /// Where a name is, or where it would be. The table is less than half full: the search ends.
  @inline(__always)
  private static func slot(of name: CommandName, in slots: UnsafePointer<Entry>) -> Int {
    var index = Int(truncatingIfNeeded: ((name.low ^ name.high) &* 0x9e37_79b9_7f4a_7c15) >> 54)
    while slots[index].name.length > 0, slots[index].name != name { index = (index &+ 1) & (capacity - 1) }
    return index
  }

  @inline(__always)
  func traits(of name: CommandName) -> CommandTraits {
    let entry = slots + CommandTable.slot(of: name, in: slots)
    return entry.pointee.traits
  }

  /// Whether any server is known to have a command of this name.
  func knows(_ name: CommandName) -> Bool { slots[CommandTable.slot(of: name, in: slots)].name.length > 0 }

  /// The traits of a container's subcommand; of one that is not known only that.
  func traits(of container: String, subcommand: String) -> CommandTraits {
    subcommands[Array("\(container)|\(subcommand.uppercased())".utf8)] ?? CommandTraits()
  }

  func specifications(of traits: CommandTraits) -> [KeySpecification] { specifications[Int(traits.keys)] }
}

/// The key specifications of all commands, most of which are like those of another.
private struct SpecificationList {
  private(set) var all: [[KeySpecification]] = [[]]
  private var known: [[UInt8]: (index: UInt16, areConstant: Bool)] = [:]

  /// Where the specifications in a line's rest stand, and whether all of them are constant.
  mutating func index(of text: Slice<UnsafeRawBufferPointer>) -> (UInt16, Bool) {
    let key = Array(text)
    if let found = known[key] { return found }
    let parsed = String(decoding: text, as: UTF8.self).split(separator: " ").compactMap { KeySpecification($0) }
    let found = (index: UInt16(truncatingIfNeeded: all.count), areConstant: parsed.allSatisfy(\.isConstant))
    all.append(parsed)
    known[key] = found
    return found
  }
}
