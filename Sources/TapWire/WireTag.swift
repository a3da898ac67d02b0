// The types of values that CBOR has no type for.

/// Tags that carry RESP types inside CBOR, where CBOR has no type of its own. Other protocols may use them too.
///
/// They are not registered with IANA; they stand in the first-come range and are part of TapWire version 1.
public enum WireTag {
  /// A simple string: `tag("OK")`.
  public static let simpleString: UInt64 = 52501
  /// An error: `tag("ERR …")`.
  public static let error: UInt64 = 52502
  /// A verbatim string: `tag([format, text])`.
  public static let verbatim: UInt64 = 52503
  /// A push: `tag([kind, …])`.
  public static let push: UInt64 = 52504
  /// A value with attributes: `tag([attributes, value])`.
  public static let attributes: UInt64 = 52505
  /// A cut value: `tag([full length, beginning])`. Lengths are bytes of a string, elements of an array, pairs of a map.
  public static let cut: UInt64 = 52506
  /// A set: `tag([element, …])` (registered: 258).
  public static let set: UInt64 = 258
  /// Bignums (RFC 8949, section 3.4.3).
  public static let positiveBignum: UInt64 = 2
  public static let negativeBignum: UInt64 = 3
}
