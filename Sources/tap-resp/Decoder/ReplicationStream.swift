// What a master sends behind SYNC and PSYNC: a snapshot, then every command that changes something. Nothing answers it.
import Glibc
import TapWire

/// Reads a replication stream, across any split (replication.c of redis-server).
///
/// The snapshot, an RDB file, comes as `$N\r\n` and N bytes, or as `$EOF:` with a mark of 40 bytes that stands behind it
/// again. In both forms no CRLF follows. Before it the master may send line feeds to keep the connection alive, and Valkey 8
/// where the snapshot has this connection for itself `$ENDOFF:` with the offset at which the stream goes on elsewhere.
final class ReplicationStream {
  private enum Phase {
    case snapshotHead
    /// So many bytes of the snapshot are to come.
    case sized(UInt64)
    /// The snapshot ends with the mark.
    case marked
    case commands
  }

  /// A part that is complete.
  enum Part {
    case snapshot(Snapshot)
    /// The master has no snapshot to send, and says why.
    case failure([UInt8])
    /// A command: it is the last message of `commands.writer`.
    case command
  }

  private static let markBytes = 40

  @exclusivity(unchecked) var commands = CommandParser()
  /// The request that the snapshot answers: a SYNC. PSYNC has its answer before the stream begins.
  @exclusivity(unchecked) var isSnapshotAnswer = false
  @exclusivity(unchecked) private(set) var skippedBytes: UInt64 = 0
  private var phase: Phase
  private var snapshot = Snapshot()
  /// Set where commands are looked for behind a loss.
  private var search: BoundarySearch?
  private var line = TextLine()
  private var mark: [UInt8] = []
  /// The last bytes of those that came, in which the mark may have begun.
  private var tail: [UInt8] = []

  /// `hasSnapshot` false: the stream goes on where another connection left off (`+CONTINUE`).
  init(hasSnapshot: Bool) { phase = hasSnapshot ? .snapshotHead : .commands }

  /// A stream that is joined in its middle.
  init() {
    phase = .commands
    search = BoundarySearch(for: .commands)
  }

  /// Whether commands are looked for behind a loss.
  var isSearching: Bool { search != nil }

  /// Reads the next bytes of the stream, and hands out each part that they complete.
  func receive(_ bytes: UnsafeRawBufferPointer, at time: UInt64, _ body: (Part) -> Void) {
    var position = 0
    while position < bytes.count {
      switch phase {
      case .snapshotHead:
        readHead(bytes, &position, body)
      case .sized(let left):
        let count = min(Int(clamping: left), bytes.count - position)
        snapshot.append(UnsafeRawBufferPointer(rebasing: bytes[position..<(position + count)]), at: time)
        position += count
        phase = .sized(left - UInt64(count))
        if left == UInt64(count) { endSnapshot(body) }
      case .marked:
        if readToMark(bytes, &position, at: time) { endSnapshot(body) }
      case .commands:
        return receiveCommands(UnsafeRawBufferPointer(rebasing: bytes[position...]), body)
      }
    }
  }

  // MARK: Snapshot

  private func endSnapshot(_ body: (Part) -> Void) {
    phase = .commands
    tail = []
    body(.snapshot(snapshot))
  }

  private func readHead(_ bytes: UnsafeRawBufferPointer, _ position: inout Int, _ body: (Part) -> Void) {
    guard let content = line.read(bytes, &position) else { return }
    let text = content.bytes
    guard let type = text.first else { return }
    let rest = UnsafeRawBufferPointer(rebasing: text.dropFirst())
    if type == UInt8(ascii: "$"), rest.starts(with: "ENDOFF:".utf8) { return }
    if type == UInt8(ascii: "$"), rest.count == 4 + ReplicationStream.markBytes, rest.starts(with: "EOF:".utf8) {
      mark = Array(rest.dropFirst(4))
      phase = .marked
    } else if type == UInt8(ascii: "$"), isDecimal(rest), let length = parseInteger(rest), length > 0 {
      phase = .sized(UInt64(length))
    } else if type == UInt8(ascii: "-") {
      body(.failure(Array(rest)))
    } else {
      // Nobody knows what this is: commands may follow all the same.
      phase = .commands
      search = BoundarySearch(for: .commands)
    }
  }

  /// Takes bytes up to the end of the mark, or all; returns whether the mark was found.
  private func readToMark(_ bytes: UnsafeRawBufferPointer, _ position: inout Int, at time: UInt64) -> Bool {
    let rest = UnsafeRawBufferPointer(rebasing: bytes[position...])
    let overlap = mark.count - 1
    let seam = tail + rest.prefix(overlap)
    let end: Int?
    if let start = seam.withUnsafeBytes({ find(in: $0) }) {
      end = start + mark.count - tail.count
    } else {
      end = find(in: rest).map { $0 + mark.count }
    }
    let taken = end ?? rest.count
    snapshot.append(UnsafeRawBufferPointer(rebasing: rest[..<taken]), at: time)
    position += taken
    if end != nil { snapshot.removeLast(UInt64(mark.count)) }
    tail = Array((tail + rest.suffix(overlap)).suffix(overlap))
    return end != nil
  }

  private func find(in bytes: UnsafeRawBufferPointer) -> Int? {
    guard let base = bytes.baseAddress, let first = mark.first else { return nil }
    var position = 0
    while position + mark.count <= bytes.count {
      guard let found = memchr(base + position, Int32(first), bytes.count - position - mark.count + 1) else {
        return nil
      }
      position = base.distance(to: UnsafeRawPointer(found))
      if memcmp(found, mark, mark.count) == 0 { return position }
      position += 1
    }
    return nil
  }

  // MARK: Commands

  private func receiveCommands(_ bytes: UnsafeRawBufferPointer, _ body: (Part) -> Void) {
    var rest = bytes
    while true {
      if search != nil {
        guard let found = search?.add(rest) else { return }
        endSearch()
        switch consume found {
        case .inPlace(let start): rest = UnsafeRawBufferPointer(rebasing: rest[start...])
        case .joined(let bytes): return receiveCommands(bytes.bytes, body)
        }
      }
      var position = 0
      do throws(Malformed) {
        while case .command = try commands.next(rest, &position) { body(.command) }
        return
      } catch {
        loseStep()
        rest = UnsafeRawBufferPointer(rebasing: rest[position...])
      }
    }
  }

  private func endSearch() {
    skippedBytes += search?.skippedBytes ?? 0
    search = nil
  }

  private func loseStep() {
    endSearch()
    commands.startOver()
    commands.writer.dropMessage()
    search = BoundarySearch(for: .commands)
  }

  // MARK: Losses

  /// Steps over missing bytes.
  func lose(_ length: UInt64, at time: UInt64, _ body: (Part) -> Void) {
    switch phase {
    case .sized(let left):
      snapshot.lose(min(length, left), at: time)
      if length < left {
        phase = .sized(left - length)
      } else {
        endSnapshot(body)
        if length > left { search = BoundarySearch(for: .commands) }
      }
    case .marked:
      // Where the mark itself is lost, everything behind it is taken for the snapshot: nothing else tells them apart.
      snapshot.lose(length, at: time)
      tail = []
    case .snapshotHead:
      line.reset()
      phase = .commands
      search = BoundarySearch(for: .commands)
    case .commands:
      if search == nil, commands.skip(length) {
        return receiveCommands(UnsafeRawBufferPointer(start: nil, count: 0), body)
      }
      if search == nil, commands.endUnfinished(.incomplete) { body(.command) }
      loseStep()
    }
  }

  /// The stream ends: hands out what is not whole.
  func finish(_ body: (Part) -> Void) {
    endSearch()
    switch phase {
    case .sized(let left):
      snapshot.expect(left)
      body(.snapshot(snapshot))
    case .marked: body(.snapshot(snapshot))
    case .snapshotHead: break
    case .commands: if commands.endUnfinished(.incomplete) { body(.command) }
    }
  }
}
