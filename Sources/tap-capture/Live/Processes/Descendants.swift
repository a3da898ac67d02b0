// The children of a process, their children, and so on, as /proc shows them.

/// `roots` and all their descendants. `parents` gives the parent of each process.
func descendants(of roots: Set<Int32>, parents: [Int32: Int32]) -> Set<Int32> {
  var children: [Int32: [Int32]] = [:]
  for (child, parent) in parents { children[parent, default: []].append(child) }
  var found = roots
  var pending = Array(roots)
  while let next = pending.popLast() {
    for child in children[next] ?? [] where found.insert(child).inserted { pending.append(child) }
  }
  return found
}

/// The parent of each running process.
func runningParents() -> [Int32: Int32] {
  var parents: [Int32: Int32] = [:]
  for pid in runningProcesses() { parents[pid] = ProcessStatus.read(pid)?.parent }
  return parents
}
