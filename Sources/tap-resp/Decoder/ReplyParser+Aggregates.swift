// Arrays, maps, sets, pushes and attributes, of announced and of streamed length: how they begin, count and end.
import TapWire

extension ReplyParser {
  mutating func beginAggregate(_ count: Int64, isStreamed: Bool = false) throws(Malformed) -> Bool {
    guard levels.count < RESPLimits.depth else { throw Malformed() }
    var count = count
    if isTop, let topElements, type == UInt8(ascii: "*"), count == topElements.announced { count = topElements.actual }
    let isMap = type == UInt8(ascii: "%") || type == UInt8(ascii: "|")
    let isAttribute = type == UInt8(ascii: "|")
    let (items, overflow) = count.multipliedReportingOverflow(by: isMap ? 2 : 1)
    guard !overflow else { throw Malformed() }
    if isTop { try writeTopHead() } else if isStoring { writeNestedTag() }
    let major: CBORMajor = isMap ? .map : .array
    let position = writer.bytes.count
    if isStoring, !isStreamed { writer.bytes.appendHead(major, UInt64(count)) }
    if items == 0, !isStreamed {
      if isAttribute {
        awaitValue(isStored: isStoring)
        return false
      }
      return finishValue(isStored: isStoring)
    }
    let head = isStoring ? writer.openHeads.count : -1
    if isStoring { writer.openHeads.append(position) }
    levels.append(
      OpenAggregate(
        left: isStreamed ? .max : items, full: isStreamed ? 0 : items, stored: 0, head: head, major: major,
        isStreamed: isStreamed, isAttribute: isAttribute))
    return false
  }

  mutating func writeTopHead() throws(Malformed) {
    switch type {
    case UInt8(ascii: "%"): writer.bytes.append(ResponseHead.map)
    case UInt8(ascii: "~"): writer.bytes.append(ResponseHead.set)
    case UInt8(ascii: ">"):
      kind = .push
      writer.bytes.append(ResponseHead.push)
    case UInt8(ascii: "|"):
      guard !hasAttributes else { throw Malformed() }
      hasAttributes = true
      writer.bytes[writer.messageStart] += 1
      writer.bytes.appendText("attributes" as StaticString)
    default: writer.bytes.append(ResponseHead.array)
    }
  }

  mutating func writeNestedTag() {
    if type == UInt8(ascii: "~") { writer.bytes.appendTag(WireTag.set) }
    if type == UInt8(ascii: "|") {
      writer.bytes.appendTag(WireTag.attributes)
      writer.bytes.appendArrayHead(2)
    }
  }

  /// A value is complete, and with it perhaps aggregates around it; returns whether the message is.
  @inline(__always)
  mutating func finishValue(isStored: Bool) -> Bool {
    if levels.isEmpty { return true }
    return finishElement(isStored: isStored)
  }

  mutating func awaitValue(isStored: Bool) {
    if let index = levels.indices.last { levels[index].isAwaitingValue = isStored }
  }

  mutating func finishElement(isStored: Bool) -> Bool {
    var isStored = isStored
    while let index = levels.indices.last {
      levels[index].isAwaitingValue = false
      if isStored { levels[index].stored &+= 1 }
      if levels[index].isStreamed {
        levels[index].full &+= 1
        return false
      }
      levels[index].left &-= 1
      if levels[index].left > 0 { return false }
      let level = levels.removeLast()
      isStored = level.head >= 0
      close(level)
      // The value that the attribute belongs to is still to come.
      if level.isAttribute {
        awaitValue(isStored: isStored)
        return false
      }
    }
    return true
  }

  /// Sets the head of an aggregate that is cut: its number of elements differs from what the head says, or its last one only
  /// stands for what is missing (`isPadded`). Or that had none yet.
  mutating func close(_ level: OpenAggregate, isPadded: Bool = false) {
    guard level.head >= 0, let position = writer.openHeads.popLast() else { return }
    let unit: Int64 = level.major == .map ? 2 : 1
    if level.isStreamed {
      writer.bytes.replaceSubrange(position..<position, withHead: level.major, UInt64(level.full / unit))
    }
    if level.stored < level.full || isPadded {
      writer.bytes.replaceArrayHead(
        at: position, full: level.full / unit, stored: level.stored / unit, major: level.major)
    }
  }

  // MARK: Streamed strings and aggregates

  mutating func beginStreamed() throws(Malformed) -> Bool {
    switch type {
    case UInt8(ascii: "$"):
      if isTop { writer.bytes.append(ResponseHead.bulkString) }
      if isStoring { writer.beginString(0) }
      isStreamedString = true
      return false
    case UInt8(ascii: "*"), UInt8(ascii: "%"), UInt8(ascii: "~"):
      return try beginAggregate(0, isStreamed: true)
    default:
      throw Malformed()
    }
  }

  mutating func endStreamedAggregate(_ content: TextLine.Content) throws(Malformed) -> Bool {
    guard content.bytes.isEmpty, let level = levels.last, level.isStreamed, !level.isAwaitingValue,
      level.major != .map || level.full & 1 == 0
    else { throw Malformed() }
    levels.removeLast()
    close(level)
    return finishValue(isStored: level.head >= 0)
  }
}
