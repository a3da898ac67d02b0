// A set of processes that the kernel program looks into: those to trace, those to leave out.
import CLibbpf
import CaptureRecords
import CaptureSystem

struct ProcessSet {
  let map: Int32
  let state: UnsafeMutablePointer<tap_shared_state>

  /// Takes effect at once, also for flows that the kernel has judged before. Returns false if the set is full.
  @discardableResult
  func insert(_ pid: Int32) -> Bool {
    var key = UInt32(bitPattern: pid)
    var present: UInt8 = 1
    let isInserted = bpf_map_update_elem(map, &key, &present, 0) == 0
    tap_increment_32(&state.pointee.process_generation)
    return isInserted
  }

  var members: [Int32] {
    var members: [Int32] = []
    var key: UInt32 = 0
    var next: UInt32 = 0
    var hasNext = bpf_map_get_next_key(map, nil, &next) == 0
    // The kernel begins anew when a key is removed meanwhile: a bound instead of an endless walk.
    while hasNext, members.count < 65536 {
      members.append(Int32(bitPattern: next))
      key = next
      hasNext = bpf_map_get_next_key(map, &key, &next) == 0
    }
    return members
  }
}
