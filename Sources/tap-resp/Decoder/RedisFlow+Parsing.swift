// From bytes to messages: parsed as long as they are well formed, and looked for again where they are not.
import TapWire

extension RedisFlow {
  /// Parses to the end of the bytes, and looks for a boundary wherever that fails.
  func parse(_ bytes: UnsafeRawBufferPointer, of side: Side, _ data: DataFrame, into output: inout Output) {
    var rest = bytes
    while true {
      if isSearching(side) {
        guard let found = search(side, in: rest) else { return }
        endSearch(side)
        switch consume found {
        case .inPlace(let start): rest = UnsafeRawBufferPointer(rebasing: rest[start...])
        // Once for each frame: what is looked for in there begins with nothing kept.
        case .joined(let bytes): return parse(bytes.bytes, of: side, data, into: &output)
        }
      }
      let failed =
        side == .commands ? parseCommands(rest, data, into: &output) : parseReplies(rest, data, into: &output)
      guard let failed else { return }
      rest = UnsafeRawBufferPointer(rebasing: rest[failed...])
    }
  }

  /// Takes the whole commands that the bytes begin with; returns how many bytes they are.
  @inline(__always)
  func takeWholeCommands(
    _ bytes: UnsafeRawBufferPointer, _ data: DataFrame, into output: inout Output
  ) -> Int {
    var position = 0
    while position < bytes.count {
      if areCommandsPlain {
        takePlainCommands(bytes, &position, data)
        if position == bytes.count { break }
      }
      guard isWholeCommandTaken(bytes, &position, data, into: &output) else { break }
    }
    return position
  }

  @inline(never)
  private func isWholeCommandTaken(
    _ bytes: UnsafeRawBufferPointer, _ position: inout Int, _ data: DataFrame, into output: inout Output
  ) -> Bool {
    let start = position
    guard bytes[start] == UInt8(ascii: "*"), commands.takeWhole(bytes, &position) else { return false }
    commandsProved = true
    noteShape(bytes, start)
    finishCommand(data, extraFlags: [], into: &output)
    noteMode()
    return true
  }

  /// Parses to the end of the bytes; returns where they are no commands any more.
  @inline(__always)
  private func parseCommands(
    _ bytes: UnsafeRawBufferPointer, _ data: DataFrame, into output: inout Output
  ) -> Int? {
    var position = commands.isAtBoundary ? takeWholeCommands(bytes, data, into: &output) : 0
    var start = position
    do throws(Malformed) {
      while case .command = try commands.next(bytes, &position) {
        commandsProved = true
        finishCommand(data, extraFlags: [], into: &output)
        start = position
        openCommandBytes = 0
      }
      openCommandBytes = commands.isAtBoundary ? 0 : openCommandBytes &+ UInt64(bytes.count - start)
      commands.keepOpeningOfUnnamed(bytes, to: position)
      openCommandTime = data.time
      return nil
    } catch {
      openCommandBytes &+= UInt64(position - start)
      commands.keepOpeningOfUnnamed(bytes, to: position)
      endMalformed(data, into: &output)
      return position
    }
  }

  @inline(__always)
  private func parseReplies(
    _ bytes: UnsafeRawBufferPointer, _ data: DataFrame, into output: inout Output
  ) -> Int? {
    var position = 0
    var start = 0
    if replies.isAtBoundary { replyFirstByte = data.time }
    do throws(Malformed) {
      while true {
        if pending.hasSlow {
          let before = position
          awaitSnapshot(bytes, &position)
          start += position - before
        }
        if transaction != nil { awaitElements() }
        if let replication {
          receive(UnsafeRawBufferPointer(rebasing: bytes[position...]), data, of: replication, into: &output)
          return nil
        }
        guard case .message(let kind) = try replies.next(bytes, &position) else {
          openReplyBytes = replies.isAtBoundary ? 0 : openReplyBytes &+ UInt64(bytes.count - start)
          return nil
        }
        repliesProved = true
        start = position
        openReplyBytes = 0
        if transaction != nil, kind == .push, isElementOfTransaction() {
          if replies.adoptPush() { finishMessage(.reply, data, extraFlags: [], into: &output) }
          continue
        }
        finishMessage(kind, data, extraFlags: [], into: &output)
        replyFirstByte = data.time
      }
    } catch {
      skippedBytes &+= openReplyBytes &+ UInt64(position - start)
      openReplyBytes = 0
      loseStepInReplies(into: &output)
      quietPoints.loseBoundaryOfReplies()
      replySearch = BoundarySearch(for: .replies)
      return position
    }
  }
}
