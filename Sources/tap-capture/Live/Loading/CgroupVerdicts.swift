// What the kernel program is told of control groups: whether the containers that they are of are captured.
import CLibbpf
import CaptureRecords

struct CgroupVerdicts {
  let map: Int32
  let state: UnsafeMutablePointer<tap_shared_state>

  /// In the unified hierarchy's root are also processes whose container only the other hierarchies tell.
  private static let rootID: UInt64 = 1

  /// From now on the processes of a group are captured, or not. If there is no room, they pass, as in a group that is not
  /// known.
  func set(_ id: UInt64, isKept: Bool) {
    guard id > CgroupVerdicts.rootID else { return }
    var key = id
    var verdict = UInt8((isKept ? TAP_CGROUP_KEEP : TAP_CGROUP_DISMISS).rawValue)
    bpf_map_update_elem(map, &key, &verdict, 0)
  }

  /// The groups that were there at the start are judged: others pass until they are known.
  func begin() { state.pointee.are_cgroups_judged = 1 }
}
