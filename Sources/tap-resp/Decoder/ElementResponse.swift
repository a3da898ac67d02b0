// An element of an array as a response of its own: what EXEC answers a queued command with.
import TapWire

enum ElementResponse {
  /// Writes the response map of an item that stands inside of an aggregate.
  static func append(_ item: UnsafeRawBufferPointer, to output: inout ByteBuffer) {
    var reader = CBORReader(item, streamOffset: 0)
    guard let head = try? reader.readHead() else { return }
    let content = UnsafeRawBufferPointer(rebasing: item[(item.count - reader.rest.count)...])
    if head.major == .tag { return append(tag: head.argument, content, item, to: &output) }
    output.appendMapHead(2)
    switch head.major {
    case .unsigned, .negative:
      var number = CBORReader(item, streamOffset: 0)
      output.append(ResponseHead.integer)
      output.appendText((try? number.readInteger()).map { "\($0)" } ?? "\(head.argument)")
    case .array, .map:
      output.append(head.major == .map ? ResponseHead.map : ResponseHead.array)
      output.append(item)
    case .textString, .byteString:
      output.append(ResponseHead.bulkString)
      output.append(item)
    default:
      appendSimple(head, item, to: &output)
    }
  }

  /// Several items as one response, an array of them.
  static func append(all items: UnsafeRawBufferPointer, count: Int, to output: inout ByteBuffer) {
    output.appendMapHead(2)
    output.append(ResponseHead.array)
    output.appendArrayHead(count)
    output.append(items)
  }

  private static func appendSimple(_ head: CBORHead, _ item: UnsafeRawBufferPointer, to output: inout ByteBuffer) {
    switch head.additional {
    case 20, 21:
      output.append(ResponseHead.boolean)
      output.appendText(head.additional == 21 ? "true" : "false")
    case 22:
      output.append(ResponseHead.null)
      output.append(item)
    default:
      output.append(ResponseHead.double)
      output.appendText("\(Double(bitPattern: head.argument))")
    }
  }

  private static func append(
    tag: UInt64, _ content: UnsafeRawBufferPointer, _ item: UnsafeRawBufferPointer, to output: inout ByteBuffer
  ) {
    var reader = CBORReader(content, streamOffset: 0)
    switch tag {
    case WireTag.attributes:
      guard (try? reader.readArrayHead()) == 2, let attributes = try? reader.readItem() else { return }
      var value = ByteBuffer(capacityBytes: reader.rest.count + 64)
      append(reader.rest, to: &value)
      guard let head = value.bytes.first else { return }
      // The same map with one member more, in front.
      output.append(head + 1)
      output.appendText("attributes" as StaticString)
      output.append(attributes)
      output.append(UnsafeRawBufferPointer(rebasing: value.bytes.dropFirst()))
    case WireTag.verbatim:
      guard (try? reader.readArrayHead()) == 2, let format = try? reader.readItem() else { return }
      output.appendMapHead(3)
      output.append(ResponseHead.verbatimString)
      output.append(reader.rest)
      output.appendText("response_format" as StaticString)
      output.append(format)
    default:
      output.appendMapHead(2)
      output.append(typeHead(tag, content))
      let isBare = [WireTag.error, WireTag.simpleString, WireTag.set].contains(tag)
      output.append(isBare ? content : item)
    }
  }

  private static func typeHead(_ tag: UInt64, _ content: UnsafeRawBufferPointer) -> StaticString {
    switch tag {
    case WireTag.error: return ResponseHead.error
    case WireTag.simpleString: return ResponseHead.simpleString
    case WireTag.set: return ResponseHead.set
    case WireTag.positiveBignum, WireTag.negativeBignum: return ResponseHead.bigNumber
    default: break
    }
    // A cut value: `[full length, beginning]`.
    var reader = CBORReader(content, streamOffset: 0)
    guard (try? reader.readArrayHead()) == 2, (try? reader.readItem()) != nil, let head = try? reader.readHead() else {
      return ResponseHead.bulkString
    }
    switch head.major {
    case .array: return ResponseHead.array
    case .map: return ResponseHead.map
    default: return ResponseHead.bulkString
    }
  }
}
