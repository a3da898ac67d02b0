// Most commands begin as one did a moment ago: what is known of `*3\r\n$3\r\nSET\r\n` is looked up instead of parsed.
import TapWire

/// How a command begins, up to its first argument, and what is written for that.
struct CommandShape {
  /// `*N\r\n$L\r\n`, then the name and CRLF, as they lie in memory. In an empty slot they are what `beginning` never makes:
  /// behind a first word of zero it leaves two bytes of the second.
  fileprivate var first: UInt64 = 0
  fileprivate var second: UInt64 = .max
  /// What of the second word belongs to it.
  private var mask: UInt64 = 0
  /// The beginning of the request map, and behind it what the arguments overwrite.
  fileprivate var map: (SIMD2<UInt64>, SIMD2<UInt64>) = (.zero, .zero)
  private(set) var mapBytes = 0
  private(set) var inputBytes = 0
  private(set) var argumentCount = 0
  /// The annotations, up to the first key and behind it what the keys overwrite.
  fileprivate var annotations: (SIMD2<UInt64>, SIMD2<UInt64>) = (.zero, .zero)
  private(set) var annotationBytes = 0
  /// Which arguments are keys, the first one in the lowest bit.
  private(set) var keys: UInt8 = 0

  init() {}

  /// The shape of the command at `input`, whose request map is at `map`; nil where the count has more than one digit, or the
  /// name more than six letters. Sixteen bytes of the input and 32 of the map must be readable.
  fileprivate init?(
    _ input: UnsafeRawPointer, map: UnsafeRawPointer, argumentCount: Int, keys: UInt8, commandClass: CommandClass
  ) {
    (first, second) = CommandShape.beginning(of: input)
    let nameBytes = Int(first >> 40 & 0xff) - 0x30
    // Digits and line ends where they stand in the shortest form.
    guard first & 0xffff_00ff_ffff_00ff == 0x0a0d_0024_0a0d_002a, (1...6).contains(nameBytes), argumentCount < 9
    else { return nil }
    mask = CommandShape.mask(first)
    self.map = (
      map.loadUnaligned(as: SIMD2<UInt64>.self), map.loadUnaligned(fromByteOffset: 16, as: SIMD2<UInt64>.self)
    )
    // A map's head, "command" with its head, the name with its head, "args" with its head, an array's head.
    mapBytes = 1 + 8 + 1 + nameBytes + 5 + 1
    inputBytes = 8 + nameBytes + 2
    self.argumentCount = argumentCount
    self.keys = keys
    var head = ByteBuffer(capacityBytes: 32)
    head.appendAnnotations(commandClass, keys: keys.nonzeroBitCount, of: keys.nonzeroBitCount)
    annotationBytes = head.count
    while head.count < 32 { head.append(0) }
    annotations = (
      head.bytes.loadUnaligned(as: SIMD2<UInt64>.self),
      head.bytes.loadUnaligned(fromByteOffset: 16, as: SIMD2<UInt64>.self)
    )
  }

  /// The first eight bytes, and the next as far as the announced length of the name reaches. Of other forms it makes words
  /// that no shape has.
  @inline(__always)
  fileprivate static func beginning(of input: UnsafeRawPointer) -> (UInt64, UInt64) {
    let first = UInt64(littleEndian: input.loadUnaligned(as: UInt64.self))
    let rest = UInt64(littleEndian: input.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    return (first, rest & mask(first))
  }

  /// The bytes of the second word up to the end of the name's line.
  @inline(__always)
  private static func mask(_ first: UInt64) -> UInt64 {
    let nameBytes = first >> 40 & 0xff &- 0x30
    return .max &>> (48 &- 8 &* nameBytes)
  }

  /// Whether the command at `input`, of which sixteen bytes must be readable, begins like this.
  @inline(__always)
  fileprivate func begins(_ input: UnsafeRawPointer) -> Bool {
    UInt64(littleEndian: input.loadUnaligned(as: UInt64.self)) == first
      && UInt64(littleEndian: input.loadUnaligned(fromByteOffset: 8, as: UInt64.self)) & mask == second
  }

  /// Writes the beginning of the request map, and up to 32 bytes in all.
  @inline(__always)
  func store(at target: UnsafeMutableRawPointer) {
    target.storeBytes(of: map.0, as: SIMD2<UInt64>.self)
    target.storeBytes(of: map.1, toByteOffset: 16, as: SIMD2<UInt64>.self)
  }

  /// Writes the annotations up to the first key, and up to 32 bytes in all.
  @inline(__always)
  func storeAnnotations(at target: UnsafeMutableRawPointer) {
    target.storeBytes(of: annotations.0, as: SIMD2<UInt64>.self)
    target.storeBytes(of: annotations.1, toByteOffset: 16, as: SIMD2<UInt64>.self)
  }
}

/// The shapes of plain commands that came lately, of all flows.
struct CommandShapes: ~Copyable {
  private static let capacity = 128
  private let slots: UnsafeMutablePointer<CommandShape>
  /// The shape that was found last: mostly it is the same again, and nothing has to wait for the search.
  private var latest: UnsafePointer<CommandShape>

  init() {
    slots = .allocate(capacity: CommandShapes.capacity)
    slots.initialize(repeating: CommandShape(), count: CommandShapes.capacity)
    latest = UnsafePointer(slots)
  }

  deinit { slots.deallocate() }

  @inline(__always)
  private static func slot(_ first: UInt64, _ second: UInt64) -> Int {
    Int(truncatingIfNeeded: ((first ^ second) &* 0x9e37_79b9_7f4a_7c15) >> 57)
  }

  /// The shape of the command at `input`, of which sixteen bytes must be readable. Valid until the next `note`.
  @inline(__always)
  mutating func find(_ input: UnsafeRawPointer) -> UnsafePointer<CommandShape>? {
    if latest.pointee.begins(input) { return latest }
    let (first, second) = CommandShape.beginning(of: input)
    let slot = slots + CommandShapes.slot(first, second)
    guard slot.pointee.first == first, slot.pointee.second == second else { return nil }
    latest = UnsafePointer(slot)
    return latest
  }

  /// Keeps the shape of a command about which nothing is special.
  func note(
    _ input: UnsafeRawPointer, map: UnsafeRawPointer, argumentCount: Int, keys: UInt8, commandClass: CommandClass
  ) {
    guard
      let shape = CommandShape(input, map: map, argumentCount: argumentCount, keys: keys, commandClass: commandClass)
    else { return }
    slots[CommandShapes.slot(shape.first, shape.second)] = shape
  }
}
