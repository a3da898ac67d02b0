// What the reply parser knows of an array, map, set, push or attribute whose elements are still coming.
import TapWire

/// An aggregate that is open.
struct OpenAggregate {
  /// Elements that are still to come; keys and values of a map count one each. `Int64.max` where streamed.
  var left: Int64
  /// Elements in full and those written; equal unless the message is too large.
  var full: Int64
  var stored: Int64
  /// Which of the writer's open heads is its own; negative where the aggregate is not written.
  var head: Int
  var major: CBORMajor
  var isStreamed: Bool
  /// An attribute is complete when its map is; then the value that it belongs to follows.
  var isAttribute: Bool
  /// The attributes of an element are written, and the element must follow.
  var isAwaitingValue = false

  /// Whether the element that comes next must be written, however large the message is: a key or attributes stand
  /// before it already.
  var mustStore: Bool { head >= 0 && (isAwaitingValue || major == .map && stored & 1 == 1) }
}
