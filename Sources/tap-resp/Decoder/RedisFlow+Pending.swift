// The requests that wait for a reply: where their maps lie, and what becomes of those that get none.
import TapWire

extension RedisFlow {
  /// The first pending request will not be answered any more.
  func giveUp(_ request: PendingRequest, flags: ExchangeFlags, into output: inout Output) {
    if ConnectionState.isSet(by: request.effect, takeRequestMap(request)) { forgetState(into: &output) }
    if request.effect == .exec || request.effect == .discard || request.effect == .reset {
      releaseTransaction(extraFlags: [], into: &output)
    }
    context.emit(
      of: self, start: request.time, end: nil, firstByte: nil, request: takeRequestMap(request), response: nil,
      flags: request.flags.union(flags), process: request.process, annotations: takeAnnotations(request),
      into: &output)
    removeFirstPending()
  }

  /// Those that wait longest, up to the last `count`, will not be answered any more.
  func giveUpPending(toCount count: Int = 0, flags: ExchangeFlags = .unanswered, into output: inout Output) {
    while pending.count > count, let request = pending.first { giveUp(request, flags: flags, into: &output) }
    pending.shrink()
    if requestsStart > 0 {
      commands.removeFinished(from: 0, to: requestsStart)
      requestsStart = 0
    }
  }

  /// The map of the first pending request. Valid until the buffer changes.
  @inline(__always)
  func takeRequestMap(_ request: PendingRequest) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(
      rebasing: commands.writer.bytes.bytes[requestsStart..<requestsStart &+ Int(request.bytes)])
  }

  /// The annotations of the first pending request, valid as long.
  @inline(__always)
  func takeAnnotations(_ request: PendingRequest) -> UnsafeRawBufferPointer {
    let start = requestsStart &+ Int(request.bytes)
    return UnsafeRawBufferPointer(rebasing: commands.writer.bytes.bytes[start..<start &+ Int(request.annotationBytes)])
  }

  /// A request map and its annotations, which lie one behind the other.
  func split(
    _ bytes: UnsafeRawBufferPointer, _ request: PendingRequest
  ) -> (map: UnsafeRawBufferPointer, annotations: UnsafeRawBufferPointer) {
    let end = Int(request.bytes)
    return (
      UnsafeRawBufferPointer(rebasing: bytes[..<end]),
      UnsafeRawBufferPointer(rebasing: bytes[end..<request.heldBytes])
    )
  }

  func removeFirstPending() {
    guard let request = pending.first else { return }
    if wasUnvouched { ties.noteRemoved() }
    pending.removeFirst()
    dropRequestMaps(request.heldBytes)
  }

  /// Forgets the first maps of `pending`, of so many bytes in all.
  @inline(__always)
  func dropRequestMaps(_ bytes: Int) {
    requestsStart &+= bytes
    // A command that is complete and not pending yet is still needed.
    if pending.isEmpty, commands.isAtBoundary, commands.writer.messageBytes == 0 {
      commands.writer.clear(keepingBytes: context.keptBytes)
      requestsStart = 0
    } else if requestsStart >= 64 << 10, requestsStart * 2 >= commands.writer.bytes.count {
      commands.removeFinished(from: 0, to: requestsStart)
      requestsStart = 0
    }
  }

  /// Cuts the values of requests that wait, each by itself, so that their lengths stay known.
  func cutPendingValues(toBytes target: Int) {
    let start = requestsStart
    let end = commands.writer.messageStart
    guard end - start > target else { return }
    let all = UnsafeRawBufferPointer(rebasing: commands.writer.bytes.bytes[start..<end])
    let length = ValueTrimmer.threshold(for: target, of: all, comingBytes: 0)
    var read = start
    var written = start
    let base = commands.writer.bytes.mutableBytes
    pending.update { $0.trim(to: length, in: base, from: &read, to: &written) }
    commands.removeFinished(from: written, to: end)
  }
}
