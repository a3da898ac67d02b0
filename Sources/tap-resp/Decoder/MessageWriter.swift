// Writes one message after the other as CBOR while its bytes arrive, and keeps each within its limit.
import TapWire

/// The messages of one direction as CBOR, one behind the other; the last one may still be coming.
struct MessageWriter: ~Copyable {
  var bytes = ByteBuffer(capacityBytes: 16)
  /// Where the message that is coming begins.
  private(set) var messageStart = 0
  /// The string that is coming: where its head stands, how long it will be, how much of it is to be kept.
  private var headPosition = 0
  private var contentPosition = 0
  private var fullLength = 0
  private var keptLimit = 0
  /// Whether all of it was ASCII so far, so that it is a text for certain.
  private var isASCII = true
  /// Strings of this message are cut at this length.
  private var threshold = Int.max
  /// For what follows a value: the end of its message, and annotations.
  private static let roomBehindBytes = 512
  /// Beyond it elements are counted only: the limit of an exchange, or less where all flows together hold too much.
  private(set) var limitBytes = RESPLimits.exchangeBytes
  /// What the message was shortened by so far, for its flags.
  private(set) var isCut = false
  private(set) var isTouchedByGap = false
  /// Where the heads of aggregates that are open stand, from the outside in: they move when values before them are cut.
  var openHeads: [Int] = []

  mutating func beginMessage() {
    messageStart = bytes.count
    if !openHeads.isEmpty { openHeads.removeAll(keepingCapacity: true) }
    threshold = .max
    limitBytes = RESPLimits.exchangeBytes
    isCut = false
    isTouchedByGap = false
  }

  /// Messages were written to the unused tail at once, up to `tail`, and nothing of them is open.
  @inline(__always)
  mutating func endWholeMessages(_ tail: UnsafeMutableRawPointer) {
    bytes.useTail(bytes.unusedTail.distance(to: tail))
    messageStart = bytes.count
  }

  /// Forgets all messages, and gives the memory back if they took more than `keptBytes`.
  @inline(__always)
  mutating func clear(keepingBytes keptBytes: Int) {
    if bytes.count > keptBytes { releaseMemory() }
    bytes.removeAll()
    messageStart = 0
  }

  @inline(never)
  private mutating func releaseMemory() {
    bytes.removeAll()
    bytes.shrink(toCapacityBytes: 256)
  }

  /// Removes finished messages, or parts of them, before the message that is coming.
  mutating func removeFinished(from start: Int, to end: Int) {
    precondition(start <= end && end <= messageStart)
    bytes.removeSubrange(start..<end)
    messageStart -= end - start
    headPosition -= end - start
    contentPosition -= end - start
    for index in openHeads.indices { openHeads[index] -= end - start }
  }

  var messageBytes: Int { bytes.count - messageStart }

  /// Forgets the message that is coming.
  mutating func dropMessage() {
    bytes.truncate(to: messageStart)
    beginMessage()
  }

  mutating func noteGap() { isTouchedByGap = true }
  mutating func noteCut() { isCut = true }

  /// A string of `length` bytes begins.
  @inline(__always)
  mutating func beginString(_ length: Int) {
    headPosition = bytes.count
    bytes.appendHead(.byteString, UInt64(length))
    contentPosition = bytes.count
    fullLength = length
    keptLimit = min(length, threshold)
    isASCII = true
  }

  /// The next bytes of the string.
  @inline(__always)
  mutating func appendString(_ part: UnsafeRawBufferPointer) {
    if bytes.count &- messageStart &+ part.count > RESPLimits.exchangeBytes {
      appendWithinLimit(part)
    } else if bytes.count &- contentPosition &+ part.count <= keptLimit {
      if bytes.unusedBytes < part.count { makeRoom(for: part.count) }
      if !bytes.appendTellingASCII(part) { isASCII = false }
    } else {
      appendKept(part)
    }
  }

  /// Makes room for the rest of the string and what stands behind it, if a good part of it is there: a large value is not
  /// moved while it comes, and a length that somebody only claims takes nothing.
  @inline(never)
  private mutating func makeRoom(for partBytes: Int) {
    let left = keptLimit &- (bytes.count &- contentPosition)
    bytes.reserve(min(left, 4 &* partBytes) &+ MessageWriter.roomBehindBytes)
  }

  private mutating func appendKept(_ part: UnsafeRawBufferPointer) {
    let room = keptLimit - (bytes.count - contentPosition)
    if room > 0, !bytes.appendTellingASCII(UnsafeRawBufferPointer(rebasing: part.prefix(room))) { isASCII = false }
  }

  @inline(never)
  private mutating func appendWithinLimit(_ part: UnsafeRawBufferPointer) {
    var rest = part
    while !rest.isEmpty {
      let room = RESPLimits.exchangeBytes - messageBytes
      let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(max(room, 0)))
      appendKept(piece)
      rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(piece.count))
      // Nothing more of this string is kept, so there is nothing to make room for.
      if bytes.count - contentPosition >= keptLimit { return }
      guard !rest.isEmpty else { return }
      makeRoom(leavingBytes: RESPLimits.exchangeBytes / 4 * 3)
      // All values are as short as they get, and there are too many of them: this one ends here.
      if messageBytes >= RESPLimits.exchangeBytes { keptLimit = bytes.count - contentPosition }
    }
  }

  /// Bytes inside the string are missing: what was kept before them is its beginning.
  mutating func loseRestOfString() {
    cutRestOfString()
    isTouchedByGap = true
  }

  /// Nothing more of the string comes.
  mutating func cutRestOfString() { keptLimit = min(keptLimit, bytes.count - contentPosition) }

  /// The string is whole. Decides between text and bytes, and marks it if it was cut.
  @inline(__always)
  mutating func endString() {
    if bytes.count &- contentPosition == fullLength {
      let content = UnsafeRawBufferPointer(rebasing: bytes.bytes[contentPosition...])
      // The head of a text string differs from that of a byte string of the same length in one bit.
      if isASCII || isValidUTF8(content) { bytes[headPosition] |= 0x20 }
    } else {
      endCutString()
    }
  }

  /// The string was a command's name: shows it in upper case, as documentation and `INFO commandstats` do.
  @inline(__always)
  mutating func endName() -> CommandName {
    let content = UnsafeMutableRawBufferPointer(rebasing: bytes.mutableBytes[contentPosition...])
    for position in content.indices {
      let byte = content[position]
      if byte >= 0x61, byte <= 0x7a { content[position] = byte &- 0x20 }
    }
    let name = CommandName(UnsafeRawBufferPointer(content))
    endString()
    return name
  }

  /// More of a streamed string, which began with length 0, is announced.
  mutating func extendString(by length: Int) {
    let (sum, overflow) = fullLength.addingReportingOverflow(length)
    fullLength = overflow ? .max : sum
    // Once a part was left out, what follows is no continuation of what is kept.
    if bytes.count - contentPosition == keptLimit { keptLimit = min(fullLength, threshold) }
  }

  /// The last chunk of a streamed string has come: its head can be written.
  mutating func endStreamedString() {
    bytes.replaceSubrange(headPosition..<contentPosition, withHead: .byteString, UInt64(fullLength))
    contentPosition = headPosition + cborHeadBytes(UInt64(fullLength))
    endString()
  }

  /// A verbatim string is whole: three letters of format, a colon, the text. Returns whether a member of the response
  /// map was added for the format.
  mutating func endVerbatim(isTop: Bool) -> Bool {
    let content = UnsafeRawBufferPointer(rebasing: bytes.bytes[contentPosition...])
    guard content.count >= 4, content[3] == UInt8(ascii: ":") else {
      endString()
      return false
    }
    let format = Array(content.prefix(3))
    var head = ByteBuffer(capacityBytes: 32)
    if !isTop {
      head.appendTag(WireTag.verbatim)
      head.appendArrayHead(2)
      head.appendString(format)
    }
    let ownHead = head.count
    head.appendHead(.byteString, UInt64(fullLength - 4))
    bytes.replaceSubrange(headPosition..<contentPosition + 4, with: head.bytes)
    contentPosition = headPosition + head.count
    headPosition += ownHead
    fullLength -= 4
    endString()
    guard isTop else { return false }
    bytes.appendText("response_format" as StaticString)
    bytes.appendString(format)
    return true
  }

  @inline(never)
  private mutating func endCutString() {
    isCut = true
    let content = UnsafeRawBufferPointer(rebasing: bytes.bytes[contentPosition...])
    // A beginning that ends inside a character is still the beginning of a text.
    let whole = MessageWriter.wholeCharacters(content)
    let isText = isValidUTF8(UnsafeRawBufferPointer(rebasing: content[..<whole]))
    let kept = isText ? whole : content.count
    bytes.truncate(to: contentPosition + kept)
    let mark = CutMark(fullLength: fullLength, keptBytes: kept, major: isText ? .textString : .byteString)
    mark.replace(headPosition..<contentPosition, of: &bytes)
  }

  /// The length without a character at the end that is not whole.
  private static func wholeCharacters(_ content: UnsafeRawBufferPointer) -> Int {
    var length = content.count
    while length > 0, content.count - length < 3, content[length - 1] & 0xc0 == 0x80 { length -= 1 }
    guard length > 0, content[length - 1] >= 0xc0 else { return content.count }
    let lead = content[length - 1]
    let wanted = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2
    return content.count - length + 1 == wanted ? content.count : length - 1
  }

  /// No string is coming: what `makeRoom` finds is whole.
  mutating func closeString() {
    headPosition = bytes.count
    contentPosition = bytes.count
    fullLength = 0
  }

  /// Nothing more of the message is kept.
  mutating func stopGrowing() { limitBytes = min(limitBytes, messageBytes) }

  /// Cuts the largest values so that the message takes `target` bytes at most, if values alone can give that much.
  mutating func makeRoom(leavingBytes target: Int) {
    let finished = UnsafeRawBufferPointer(rebasing: bytes.bytes[messageStart..<headPosition])
    let coming = bytes.count - contentPosition
    let length = ValueTrimmer.threshold(for: target, of: finished, comingBytes: coming)
    threshold = length
    isCut = true
    let region = UnsafeMutableRawBufferPointer(rebasing: bytes.mutableBytes[messageStart..<headPosition])
    let start = messageStart
    for index in openHeads.indices { openHeads[index] -= start }
    let trimmed = ValueTrimmer.trim(region, to: length, moving: &openHeads)
    for index in openHeads.indices { openHeads[index] += start }
    let removed = headPosition - messageStart - trimmed
    bytes.removeSubrange(headPosition - removed..<headPosition)
    headPosition -= removed
    contentPosition -= removed
    keptLimit = min(keptLimit, length)
    if coming > keptLimit { bytes.truncate(to: contentPosition + keptLimit) }
  }
}

extension ByteBuffer {
  /// Replaces the head of an array or a map by a mark that says how many elements (or pairs) there were in full.
  mutating func replaceArrayHead(at position: Int, full: Int64, stored: Int64, major: CBORMajor = .array) {
    var mark = ByteBuffer(capacityBytes: 32)
    mark.appendTag(WireTag.cut)
    mark.appendArrayHead(2)
    mark.appendUnsigned(UInt64(full))
    mark.appendHead(major, UInt64(stored))
    replaceSubrange(position..<position + cborHeadBytes(UInt64(full)), with: mark.bytes)
  }
}
