// The table of flows keeps what a dictionary keeps, whatever is inserted and removed.
import Testing

@testable import TapWire

@Suite struct FlowTableTests {
  @Test func agreesWithADictionary() {
    var generator = SystemRandomNumberGenerator()
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
      #expect(table.count == model.count)
    }
    for key in 0..<UInt64(500) { #expect(table[key] == model[key]) }
    #expect(Set(table.keys) == Set(model.keys))
  }
}
