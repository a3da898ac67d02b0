// A connection that becomes a replication link: where its stream begins, and what its parts are shown as.
import TapWire

extension ReplicationStream {
  /// The stream behind PSYNC's answer, if there is one: `+FULLRESYNC id offset` with a snapshot, `+CONTINUE` without, and
  /// without as well `+RDBCHANNELSYNC id` (Redis 8), where the snapshot comes on a connection of its own.
  convenience init?(announcedBy response: UnsafeRawBufferPointer) {
    guard let text = Subscriptions.simpleString(response) else { return nil }
    if text.starts(with: "FULLRESYNC ".utf8) {
      self.init(hasSnapshot: true)
    } else if text.elementsEqual("CONTINUE".utf8) || text.starts(with: "CONTINUE ".utf8)
      || text.starts(with: "RDBCHANNELSYNC ".utf8)
    {
      self.init(hasSnapshot: false)
    } else {
      return nil
    }
  }
}

extension RedisFlow {
  /// SYNC and PSYNC may be answered by line feeds, while the master makes its snapshot; SYNC then by the snapshot itself.
  func awaitSnapshot(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) {
    guard replies.isAtBoundary, !isMonitoring, pending.first?.effect == .sync else { return }
    while position < bytes.count, bytes[position] == 0x0a { position += 1 }
    guard position < bytes.count, bytes[position] == UInt8(ascii: "$") else { return }
    let stream = ReplicationStream(hasSnapshot: true)
    stream.isSnapshotAnswer = true
    replication = stream
    state.forgetDatabase()
  }

  /// From here on nothing answers a command.
  func begin(_ stream: ReplicationStream, into output: inout Output) {
    replication = stream
    forgetDatabase(into: &output)
    replies.startOver()
    skippedBytes &+= openReplyBytes
    openReplyBytes = 0
    giveUpPending(flags: [.noReply, .replication], into: &output)
  }

  /// Whether a REPLCONF is ACK or GETACK, which nothing answers.
  func isAcknowledgement(_ request: UnsafeRawBufferPointer) -> Bool {
    ["ACK", "GETACK"].contains(RequestMap(request)?.argument(0)?.uppercased())
  }

  /// Only a replica acknowledges: a connection that was joined in its middle is a replication link.
  func noteAcknowledgement(into output: inout Output) {
    guard replication == nil, !isVouched else { return }
    endSearch(.replies)
    giveUpPending(into: &output)
    begin(ReplicationStream(), into: &output)
  }

  // MARK: The stream

  func receive(
    _ bytes: UnsafeRawBufferPointer, _ data: DataFrame, of stream: ReplicationStream, into output: inout Output
  ) {
    stream.receive(bytes, at: data.time) { emit($0, of: stream, data, extraFlags: [], into: &output) }
  }

  func lose(_ gap: GapFrame, _ nothing: DataFrame, of stream: ReplicationStream, into output: inout Output) {
    stream.lose(gap.length, at: gap.time) { emit($0, of: stream, nothing, extraFlags: .gap, into: &output) }
    if stream.isSearching { forgetDatabase(into: &output) }
  }

  private func forgetDatabase(into output: inout Output) {
    state.forgetDatabase()
    if state.isChanged { tellState(into: &output) }
  }

  func finish(_ stream: ReplicationStream, _ end: DataFrame, into output: inout Output) {
    stream.finish { emit($0, of: stream, end, extraFlags: .incomplete, into: &output) }
  }

  private func emit(
    _ part: ReplicationStream.Part, of stream: ReplicationStream, _ data: DataFrame, extraFlags: ExchangeFlags,
    into output: inout Output
  ) {
    switch part {
    case .command:
      emitPropagated(stream, data, extraFlags: extraFlags, into: &output)
    case .failure(let text):
      answer(stream, data, Secrets.line(text, type: "error"), firstByte: data.time, extraFlags, into: &output)
    case .snapshot(let snapshot):
      let flags = extraFlags.union(snapshot.isTouchedByGap ? [.cut, .gap] : .cut)
      answer(stream, data, snapshot.response, firstByte: snapshot.firstByte ?? data.time, flags, into: &output)
    }
  }

  /// The snapshot, or the reason why there is none: SYNC's answer, or a message behind that of PSYNC.
  private func answer(
    _ stream: ReplicationStream, _ data: DataFrame, _ response: borrowing ByteBuffer, firstByte: UInt64,
    _ flags: ExchangeFlags, into output: inout Output
  ) {
    let flags = flags.union(.replication)
    if stream.isSnapshotAnswer, let request = pending.first, request.effect == .sync {
      let reply = WaitingReply(
        start: data.time, firstByte: firstByte, process: data.process, flags: flags, isError: false, isPush: false)
      pair(request, reply, response: response.bytes, into: &output)
    } else {
      context.emit(
        of: self, start: data.time, end: data.time, firstByte: firstByte, request: nil, response: response.bytes,
        flags: flags, process: data.process, into: &output)
    }
    giveUpPending(flags: [.noReply, .replication], into: &output)
  }

  /// A command that the master passes on.
  private func emitPropagated(
    _ stream: ReplicationStream, _ data: DataFrame, extraFlags: ExchangeFlags, into output: inout Output
  ) {
    var flags = extraFlags.union(.replication)
    if stream.commands.writer.isCut { flags.insert(.cut) }
    if stream.commands.writer.isTouchedByGap { flags.insert(.gap) }
    let traits = CommandTable.shared.traits(of: stream.commands.name)
    if context.masksSecrets, traits.mayHoldSecrets || flags.contains(.gap) && !stream.commands.isNameWhole {
      Secrets.redact(&stream.commands)
    }
    let mapBytes = stream.commands.writer.messageBytes
    stream.commands.annotate(traits, isNameWhole: !flags.contains(.gap) || stream.commands.isNameWhole)
    let map = UnsafeRawBufferPointer(rebasing: stream.commands.message[..<mapBytes])
    let annotations = UnsafeRawBufferPointer(rebasing: stream.commands.message[mapBytes...])
    context.emit(
      of: self, start: data.time, end: nil, firstByte: nil, request: map, response: nil, flags: flags,
      process: data.process, annotations: annotations, into: &output)
    if traits.effect == .select { state.follow(.select, map) }
    stream.commands.writer.clear(keepingBytes: context.keptBytes)
    if state.isChanged { tellState(into: &output) }
  }
}
