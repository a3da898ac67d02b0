// The common case by itself: a small command that lies whole in the input, taken in one pass. The state machine of
// CommandParser takes everything else, and what does not fit here is left to it untouched.
import TapWire

extension CommandParser {
  /// Longer commands gain nothing from it.
  private static var maximumBytes: Int { 16 << 10 }

  /// Takes the command at `position` if it is whole and well formed; else changes nothing and returns false.
  ///
  /// Every read is bounded by the `end` of the input. Written are at most 32 bytes more than were read, since a CBOR head
  /// is shorter than `$N\r\n` and CRLF: one reservation is enough.
  @inline(__always)
  mutating func takeWhole(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) -> Bool {
    guard let base = bytes.baseAddress else { return false }
    let end = min(bytes.count, position &+ CommandParser.maximumBytes)
    var read = position &+ 1
    guard let count = shortNumber(base, &read, end), count > 0,
      let nameBytes = bulkLength(base, &read, end), nameBytes > 0
    else { return false }
    writer.beginMessage()
    writer.bytes.reserve(end &- position &+ 32)
    let start = writer.bytes.unusedTail
    start.storeBytes(of: 0xa2, as: UInt8.self)
    // The head of a text of seven bytes, and "command".
    start.storeBytes(of: 0x646e_616d_6d6f_6367, toByteOffset: 1, as: UInt64.self)
    let head = start + 9
    var out = head + storeHead(.textString, UInt64(truncatingIfNeeded: nameBytes), at: head)
    let taken = copyName(base + read, nameBytes, to: out, head: head)
    out += nameBytes
    read &+= nameBytes &+ 2
    // The head of a text of four bytes, and "args".
    out.storeBytes(of: 0x64, as: UInt8.self)
    out.storeBytes(of: 0x7367_7261, toByteOffset: 1, as: UInt32.self)
    out += 5
    out += storeHead(.array, UInt64(truncatingIfNeeded: count &- 1), at: out)
    var left = count &- 1
    while left > 0 {
      guard takeArgument(base, &read, end, &out) != nil else { return false }
      left &-= 1
    }
    writer.bytes.useTail(start.distance(to: out))
    finishWhole(name: taken, arguments: count &- 1)
    position = read
    return true
  }

  /// The same for the commands in a row that begin in known shapes, at most `limit` of them: nothing is special about any.
  /// `note` gets the length of each one's map, and of the annotations behind it.
  @inline(__always)
  mutating func takeShaped(
    _ bytes: UnsafeRawBufferPointer, _ position: inout Int, _ shapes: inout CommandShapes, limit: Int,
    _ note: (_ mapBytes: Int, _ annotationBytes: Int) -> Void
  ) {
    guard let base = bytes.baseAddress else { return }
    var left = limit
    var target = writer.bytes.unusedTail
    var room = writer.bytes.unusedBytes
    while left > 0, bytes.count &- position >= 16, let shape = shapes.find(base + position) {
      let end = min(bytes.count, position &+ CommandParser.maximumBytes)
      // The keys are a part of the arguments, so that twice their length is enough for both.
      let wanted = 2 &* (end &- position) &+ 96
      if room < wanted {
        writer.endWholeMessages(target)
        writer.bytes.reserve(wanted)
        target = writer.bytes.unusedTail
        room = writer.bytes.unusedBytes
      }
      var read = position &+ shape.pointee.inputBytes
      shape.pointee.store(at: target)
      var out = target + shape.pointee.mapBytes
      let arguments = out
      var key: (bytes: UnsafeRawPointer, count: Int)? = nil
      var argumentsLeft = shape.pointee.argumentCount
      while argumentsLeft > 0, let argument = takeArgument(base, &read, end, &out) {
        if argumentsLeft == shape.pointee.argumentCount { key = argument }
        argumentsLeft &-= 1
      }
      if argumentsLeft > 0 { break }
      let mapBytes = target.distance(to: out)
      shape.pointee.storeAnnotations(at: out)
      out += shape.pointee.annotationBytes
      if shape.pointee.keys == 1, let key, key.count < 24 {
        // From the input: the same bytes were just written, and reading them back in other pieces waits for that.
        out.copyMemory(from: arguments, byteCount: 1)
        _ = copyChecking(key.bytes, key.count, to: out + 1)
        out += 1 &+ key.count
      } else if shape.pointee.keys != 0, !storeKeys(shape.pointee.keys, of: arguments, &out) {
        break
      }
      let heldBytes = target.distance(to: out)
      note(mapBytes, heldBytes &- mapBytes)
      room &-= heldBytes
      target = out
      position = read
      left &-= 1
    }
    writer.endWholeMessages(target)
  }

  /// Writes the keys among the arguments that begin at `arguments`; false where one of them is too long to be whole.
  @inline(__always)
  private func storeKeys(
    _ keys: UInt8, of arguments: UnsafeMutableRawPointer, _ target: inout UnsafeMutableRawPointer
  ) -> Bool {
    var item = UnsafeRawPointer(arguments)
    var left = keys
    while left != 0 {
      let length = stringItemBytes(item)
      if left & 1 == 1 {
        guard length <= RESPLimits.keyBytes else { return false }
        // Both ends lie inside of the buffer, with room behind them.
        if length <= 16 { copyPiece(item, target, at: 0) } else { copyMap(from: item, to: target, bytes: length) }
        target += length
      }
      item += length
      left >>= 1
    }
    return true
  }

  /// Takes an argument and writes it; returns where it is in the input, nil where it is not all there or not well formed.
  @inline(__always)
  private func takeArgument(
    _ base: UnsafeRawPointer, _ position: inout Int, _ end: Int, _ target: inout UnsafeMutableRawPointer
  ) -> (bytes: UnsafeRawPointer, count: Int)? {
    guard let length = bulkLength(base, &position, end) else { return nil }
    let argument = base + position
    let head = target
    target += storeHead(.textString, UInt64(truncatingIfNeeded: length), at: target)
    if !copyChecking(argument, length, to: target) {
      chooseMajor(head, target, length)
    }
    target += length
    position &+= length &+ 2
    return (argument, length)
  }
}
