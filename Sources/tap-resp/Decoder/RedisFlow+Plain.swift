// What most of a connection is: plain commands and plain replies, in a row, on a connection about which nothing is special.
import TapWire

extension RedisFlow {
  /// Takes the commands at `position` up to the first about which anything is special, or may be.
  @inline(__always)
  func takePlainCommands(_ bytes: UnsafeRawBufferPointer, _ position: inout Int, _ data: DataFrame) {
    let start = position
    var request = PendingRequest(time: data.time, process: data.process, bytes: 0)
    let limit = RESPLimits.pendingRequests &- pending.count
    commands.takeShaped(bytes, &position, &context.shapes, limit: limit) {
      request.bytes = Int32(truncatingIfNeeded: $0)
      request.annotationBytes = Int32(truncatingIfNeeded: $1)
      pending.append(request)
    }
    if position > start { commandsProved = true }
  }

  /// Takes the replies that the data begins with, as long as each is plain and answers a plain command, and returns how many
  /// bytes they are: a reply is copied once, from the input into its frame.
  @inline(__always)
  func takePlainReplies(_ data: DataFrame, into output: inout Output) -> Int {
    guard let beginning, data.process == nil, AnsweredExchanges.isUsual(time: data.time),
      let requests = commands.writer.bytes.bytes.baseAddress
    else { return 0 }
    let isFiltered = context.hidesExchanges
    var position = 0
    var walk = pending.plain
    let firstRequest = requests + requestsStart
    var nextRequest = firstRequest
    var exchanges = output.beginAnswered(beginning, end: data.time)
    while position < data.bytes.count, let request = walk.request,
      request.pointee.time <= data.time, AnsweredExchanges.isUsual(time: request.pointee.time),
      request.pointee.heldBytes <= AnsweredExchanges.maximumMapBytes - WholeReply.maximumMapBytes,
      let reply = WholeReply(data.bytes, at: position)
    {
      let requestBytes = Int(request.pointee.bytes)
      let annotationBytes = Int(request.pointee.annotationBytes)
      if !isFiltered || isShown(request.pointee, nextRequest, end: data.time) {
        if isFiltered, hiddenExchanges > 0 {
          output.endAnswered(exchanges)
          tellHidden(into: &output)
          exchanges = output.beginAnswered(beginning, end: data.time)
        }
        let response = exchanges.begin(
          start: request.pointee.time, request: nextRequest, requestBytes: requestBytes,
          annotationBytes: annotationBytes,
          responseBytes: reply.mapBytes)
        reply.store(at: response)
        exchanges.end(
          behind: response + reply.mapBytes, annotations: nextRequest + requestBytes, annotationBytes: annotationBytes)
      }
      nextRequest += requestBytes &+ annotationBytes
      position = reply.end
      walk.advance()
      if exchanges.isFull {
        output.endAnswered(exchanges)
        exchanges = output.beginAnswered(beginning, end: data.time)
      }
    }
    output.endAnswered(exchanges)
    guard position > 0 else { return 0 }
    repliesProved = true
    // The first of them has waited longest.
    slowestNanoseconds = max(slowestNanoseconds, data.time &- pending.firstTime)
    pending.removePassed(walk)
    dropRequestMaps(firstRequest.distance(to: nextRequest))
    return position
  }

  /// Whether the filter shows an exchange whose request map lies at `map`, with the annotations behind it; counts it if not.
  @inline(never)
  private func isShown(_ request: PendingRequest, _ map: UnsafeRawPointer, end: UInt64) -> Bool {
    let (map, annotations) = split(UnsafeRawBufferPointer(start: map, count: request.heldBytes), request)
    let isShown = context.shows(
      plainRequest: map, annotations: annotations, start: request.time, end: end, database: toldDatabase)
    if !isShown { hiddenExchanges += 1 }
    return isShown
  }

  /// An exchange follows that is shown: says how many before it were not.
  @inline(never)
  func tellHidden(into output: inout Output) {
    guard hiddenExchanges > 0 else { return }
    HiddenFrame(flow: id, count: hiddenExchanges).append(to: &output.buffer)
    output.endRecord()
    hiddenExchanges = 0
  }
}
