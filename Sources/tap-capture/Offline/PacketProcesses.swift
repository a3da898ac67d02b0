// Processes that a pcapng file names, in comments of ptcpdump or blocks of macOS' tcpdump, become the processes of flows.
import TapWire

/// Reads comments and describes each process once.
struct PacketProcesses {
  /// The ids of the processes that were described, by what they are, and by the comment that said so.
  private var ids: [PacketProcess: UInt64] = [:]
  private var idsByComment: [[UInt8]: UInt64?] = [:]
  private var commentBytes = 0
  private var lastID: UInt64 = 0

  /// The process at either end of a packet. These tools name the one of the machine where it ran: who sent a packet that
  /// went out, who received one that came in. Where the file does not say which way it went, nobody is named.
  mutating func ends(of options: PacketOptions, to writer: FlowWriter) -> (sender: UInt64?, receiver: UInt64?) {
    guard !options.comment.isEmpty, let isInbound = options.isInbound, let id = id(of: options.comment, to: writer)
    else { return (nil, nil) }
    return isInbound ? (nil, id) : (id, nil)
  }

  private mutating func id(of comment: [UInt8], to writer: FlowWriter) -> UInt64? {
    if let known = idsByComment[comment] { return known }
    commentBytes += comment.count
    if idsByComment.count >= OfflineLimits.comments || commentBytes > OfflineLimits.commentBytes {
      idsByComment.removeAll()
      ids.removeAll()
      commentBytes = comment.count
    }
    let id = PacketProcess(comment: comment).map { describe($0, to: writer) }
    idsByComment[comment] = .some(id)
    return id
  }

  private mutating func describe(_ process: PacketProcess, to writer: FlowWriter) -> UInt64 {
    if let id = ids[process] { return id }
    lastID += 1
    ids[process] = lastID
    process.append(to: &writer.output.buffer, id: lastID)
    writer.output.endRecord()
    return lastID
  }
}
