// Which processes are downstream of our own output: found by the inodes of pipes, stage by stage, so that
// `tap-capture | … | ssh host` does not feed on its own output.
import Glibc

/// One end of a pipe that a process holds.
struct PipeEnd: Equatable {
  var pid: Int32
  var inode: UInt64
  var isReadable: Bool
  var isWritable: Bool
}

struct Pipeline {
  /// Pipes that carry what was captured.
  private(set) var pipes: Set<UInt64>

  /// The pipeline that begins at a descriptor; it has no stages if that is no pipe.
  init(output: Int32) {
    let link = readLink("/proc/self/fd/\(output)") ?? []
    pipes = inode(inLink: link, prefix: "pipe").map { [$0] } ?? []
  }

  init(pipes: Set<UInt64>) { self.pipes = pipes }

  /// The processes among `ends` that read from the pipeline, and takes the pipes that they write to as part of it.
  mutating func stages(among ends: [PipeEnd]) -> Set<Int32> {
    var stages: Set<Int32> = []
    guard !pipes.isEmpty else { return stages }
    while true {
      let readers = Set(ends.filter { $0.isReadable && pipes.contains($0.inode) }.map(\.pid)).subtracting(stages)
      if readers.isEmpty { return stages }
      stages.formUnion(readers)
      pipes.formUnion(ends.filter { $0.isWritable && readers.contains($0.pid) }.map(\.inode))
    }
  }

  /// The pipes that a process holds, except as standard error: messages go to whoever started the pipeline.
  static func ends(of pid: Int32) -> [PipeEnd] {
    let folder = "/proc/\(pid)/fd"
    return namesInFolder(folder).compactMap { name in
      let path = "\(folder)/\(name)"
      guard name != "2", let link = readLink(path), let inode = inode(inLink: link, prefix: "pipe") else { return nil }
      // The link's own permissions tell how the descriptor was opened (proc_pid_fd(5)).
      var status = stat()
      guard lstat(path, &status) == 0 else { return nil }
      return PipeEnd(
        pid: pid, inode: inode, isReadable: status.st_mode & S_IRUSR != 0, isWritable: status.st_mode & S_IWUSR != 0)
    }
  }

  /// All stages that run now.
  mutating func findStages() -> Set<Int32> {
    guard !pipes.isEmpty else { return [] }
    return stages(among: runningProcesses().flatMap(Pipeline.ends(of:)))
  }

  /// Whether a process is a stage. Cheap enough to be asked once for each process that has a flow.
  mutating func isStage(_ pid: Int32) -> Bool {
    !pipes.isEmpty && !stages(among: Pipeline.ends(of: pid)).isEmpty
  }
}
