// The table of flows keeps what a dictionary keeps, whatever is inserted and removed.
import Support
import Testing

@testable import TapWire

@Suite struct FlowTableTests {
  @Test func agreesWithADictionary() {
    let seed = UInt64.random(in: 0..<1 << 32)
    var generator = SeededGenerator(seed: seed)
    var table = FlowTable<Int>()
    var model: [UInt64: Int] = [:]
    for step in 0..<20_000 {
      let key = UInt64.random(in: 0..<500, using: &generator)
      if Bool.random(using: &generator) {
        table[key] = step
        model[key] = step
      } else {
        table[key] = nil
        model[key] = nil
      }
      #expect(table.count == model.count, "seed \(seed)")
    }
    for key in 0..<UInt64(500) { #expect(table[key] == model[key], "seed \(seed)") }
    #expect(Set(table.keys) == Set(model.keys), "seed \(seed)")
  }
}
