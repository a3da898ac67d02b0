// Exchanges of the most frequent kind, written in a row: what they have in common is made ready once for all of them.

/// What the answered exchanges of one flow have in common, as it lies in memory.
public struct ExchangeBeginning {
  /// The heads of the array and of its kind, the flow, and the head of a time that takes eight bytes.
  @usableFromInline let word: UInt64
  @usableFromInline let wordBytes: Int
  /// The protocol's name with its head.
  @usableFromInline let name: UInt64
  @usableFromInline let nameBytes: Int

  /// Nil for a flow whose id takes more than four bytes, and for a name of more than six: their frames are written the
  /// other way.
  public init?(flow: UInt64, protocolName: StaticString) {
    guard flow <= 0xffff_ffff, protocolName.utf8CodeUnitCount <= 6 else { return nil }
    var bytes = ByteBuffer(capacityBytes: 16)
    // The kind and ten fields.
    bytes.appendArrayHead(11)
    bytes.appendUnsigned(FrameKind.exchange.rawValue)
    bytes.appendUnsigned(flow)
    bytes.append(AnsweredExchanges.timeHead)
    (word, wordBytes) = (ExchangeBeginning.word(bytes.bytes), bytes.count)
    bytes.removeAll()
    bytes.appendText(protocolName)
    (name, nameBytes) = (ExchangeBeginning.word(bytes.bytes), bytes.count)
  }

  /// Up to eight bytes, the first one lowest.
  private static func word(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }
}

/// Writes exchanges of one flow one behind the other that were answered at the same time, the response's first byte moved
/// with its last, without flags, made by the flow's own process.
///
/// It writes into the output's buffer, which must not be used before `Output.endAnswered`.
public struct AnsweredExchanges {
  /// Where the next one goes.
  @usableFromInline var next: UnsafeMutableRawPointer
  /// From here on enough is ready to be written.
  @usableFromInline let limit: UnsafeMutableRawPointer
  @usableFromInline let beginning: ExchangeBeginning
  /// The end, and the protocol's name behind it.
  @usableFromInline let endAndName: SIMD2<UInt64>
  /// No flags, the time of the first byte, no process.
  @usableFromInline let trailer: SIMD2<UInt64>
  /// What a frame takes beside its maps and the head of its byte string.
  @usableFromInline let fixedBytes: Int

  /// The head of an unsigned integer of eight bytes.
  @usableFromInline static var timeHead: UInt8 { CBORMajor.unsigned.rawValue | 27 }
  @usableFromInline static var timeBytes: Int { 9 }
  @usableFromInline static var trailerBytes: Int { 1 + timeBytes + 1 }

  /// What the maps of an exchange may take together.
  public static var maximumMapBytes: Int { Output.flushThresholdBytes - 128 }

  /// Whether a time has the head for which everything is laid out: nanoseconds do unless the clock started seconds ago.
  @inlinable
  @inline(__always)
  public static func isUsual(time: UInt64) -> Bool { time > 0xffff_ffff }

  @inlinable
  @inline(__always)
  init(_ beginning: ExchangeBeginning, end: UInt64, next: UnsafeMutableRawPointer, limit: UnsafeMutableRawPointer) {
    self.next = next
    self.limit = limit
    self.beginning = beginning
    let time = end.byteSwapped
    let head = UInt64(AnsweredExchanges.timeHead)
    endAndName = SIMD2(head | time << 8, time >> 56 | beginning.name << 8)
    trailer = SIMD2(UInt64(CBORMajor.array.rawValue) | head << 8 | time << 16, time >> 48 | 0xf6 << 16)
    // The start without its head, the end, the name, the trailer.
    fixedBytes =
      beginning.wordBytes &+ 8 &+ AnsweredExchanges.timeBytes &+ beginning.nameBytes &+ AnsweredExchanges.trailerBytes
  }

  /// Whether it is time for `Output.endAnswered`.
  @inlinable
  @inline(__always)
  public var isFull: Bool { next >= limit }

  /// Begins an exchange whose request map lies at `request`, with the annotations behind it; returns where its response map
  /// goes: the caller writes it, and up to eight bytes behind it that mean nothing, and calls `end`.
  @inlinable
  @inline(__always)
  public func begin(
    start: UInt64, request: UnsafeRawPointer, requestBytes: Int, annotationBytes: Int, responseBytes: Int
  ) -> UnsafeMutableRawPointer {
    let content = fixedBytes &+ requestBytes &+ annotationBytes &+ responseBytes
    var target = next
    // Never so short that the head would take a single byte, nor so long that it would take five.
    if content <= 0xff {
      let head = UInt16(CBORMajor.byteString.rawValue | 24) | UInt16(truncatingIfNeeded: content) << 8
      target.storeBytes(of: head.littleEndian, as: UInt16.self)
      target += 2
    } else {
      target.storeBytes(of: CBORMajor.byteString.rawValue | 25, as: UInt8.self)
      target.storeBytes(of: UInt16(truncatingIfNeeded: content).bigEndian, toByteOffset: 1, as: UInt16.self)
      target += 3
    }
    target.storeBytes(of: beginning.word.littleEndian, as: UInt64.self)
    target += beginning.wordBytes
    target.storeBytes(of: start.bigEndian, as: UInt64.self)
    target += 8
    target.storeBytes(of: endAndName, as: SIMD2<UInt64>.self)
    target += AnsweredExchanges.timeBytes &+ beginning.nameBytes
    copyMap(from: request, to: target, bytes: requestBytes)
    return target + requestBytes
  }

  /// Ends the exchange whose response ends before `tail`, with the annotations.
  @inlinable
  @inline(__always)
  public mutating func end(
    behind tail: UnsafeMutableRawPointer, annotations: UnsafeRawPointer, annotationBytes: Int
  ) {
    tail.storeBytes(of: trailer, as: SIMD2<UInt64>.self)
    copyMap(from: annotations, to: tail + AnsweredExchanges.trailerBytes, bytes: annotationBytes)
    next = tail + (AnsweredExchanges.trailerBytes &+ annotationBytes)
  }
}

extension Output {
  /// Begins a row of exchanges of one flow. `end` must be usual (`AnsweredExchanges.isUsual`).
  @inlinable
  @inline(__always)
  public mutating func beginAnswered(_ beginning: ExchangeBeginning, end: UInt64) -> AnsweredExchanges {
    // Up to the threshold, and one exchange beyond it.
    buffer.reserve(2 * Output.flushThresholdBytes)
    let limit = buffer.unusedTail + max(0, Output.flushThresholdBytes &- buffer.count)
    return AnsweredExchanges(beginning, end: end, next: buffer.unusedTail, limit: limit)
  }

  /// Takes over what was written, and hands it on if it is enough.
  @inlinable
  @inline(__always)
  public mutating func endAnswered(_ exchanges: AnsweredExchanges) {
    buffer.useTail(buffer.unusedTail.distance(to: exchanges.next))
    endRecord()
  }
}
