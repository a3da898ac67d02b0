// What a connection has said of itself: the database it works on, its client's name and library, its user.
import TapWire

/// Follows the commands that set them; each counts only once the server has agreed.
struct ConnectionState {
  /// A name: an item of CBOR, cut where it is longer than this.
  private struct Name {
    static let keptBytes = 256
    let item: [UInt8]

    init(_ name: UnsafeRawBufferPointer) {
      var item = ByteBuffer(capacityBytes: name.count + 16)
      item.appendString(Array(name))
      var kept = ByteBuffer(capacityBytes: 16)
      kept.appendCut(item: item.bytes, to: Name.keptBytes)
      self.item = Array(kept.bytes)
    }
  }

  /// nil where it is not known: the connection was joined in its middle, or a command that may have set it was lost.
  private(set) var database: Int64?
  private var clientName: Name?
  private var library: Name?
  private var libraryVersion: Name?
  private var user: Name?
  /// Set by every change, until it has been told.
  var isChanged: Bool

  /// A connection begins with database 0; one that was joined is not known.
  init(isJoined: Bool) {
    database = isJoined ? nil : 0
    isChanged = !isJoined
  }

  /// Whether a request may set any of this.
  static func isSet(by effect: CommandTraits.Effect, _ request: UnsafeRawBufferPointer) -> Bool {
    switch effect {
    case .select, .auth, .hello, .reset: return true
    case .client: return ["SETNAME", "SETINFO"].contains(RequestMap(request)?.argument(0)?.uppercased())
    default: return false
    }
  }

  /// Nobody knows what the connection has said.
  mutating func forget() {
    let wasKnown = database != nil || clientName != nil || library != nil || libraryVersion != nil || user != nil
    self = ConnectionState(isJoined: true)
    isChanged = wasKnown
  }

  /// A replication stream begins: it says itself which database its commands are for.
  mutating func forgetDatabase() {
    isChanged = isChanged || database != nil
    database = nil
  }

  /// The server has agreed to a request that `isSet(by:)` names.
  mutating func follow(_ effect: CommandTraits.Effect, _ request: UnsafeRawBufferPointer) {
    isChanged = true
    guard let request = RequestMap(request) else { return }
    switch effect {
    case .select:
      database = request.argument(0).flatMap { Int64($0) }
    case .reset:
      // networking.c, clearClientConnectionState: the library stays.
      database = 0
      clientName = nil
      user = nil
    case .auth:
      // AUTH password is for the user "default".
      user =
        request.argumentCount < 2
        ? Array("default".utf8).withUnsafeBytes { Name($0) } : request.argumentBytes(0).map(Name.init)
    case .hello:
      followHello(request)
    default:
      followClient(request)
    }
  }

  /// `HELLO [version [AUTH user password] [SETNAME name]]`
  private mutating func followHello(_ request: RequestMap) {
    var index = 1
    while let option = request.argument(index)?.uppercased() {
      switch option {
      case "AUTH":
        user = request.argumentBytes(index + 1).map(Name.init)
        index += 3
      case "SETNAME":
        setClientName(request.argumentBytes(index + 1))
        index += 2
      default:
        index += 1
      }
    }
  }

  private mutating func followClient(_ request: RequestMap) {
    switch request.argument(0)?.uppercased() {
    case "SETNAME": setClientName(request.argumentBytes(1))
    case "SETINFO":
      switch request.argument(1)?.uppercased() {
      case "LIB-NAME": library = request.argumentBytes(2).map(Name.init)
      case "LIB-VER": libraryVersion = request.argumentBytes(2).map(Name.init)
      default: break
      }
    default: break
    }
  }

  private mutating func setClientName(_ name: UnsafeRawBufferPointer?) {
    // An empty one takes it away.
    clientName = name?.isEmpty == true ? nil : name.map(Name.init)
  }

  /// The state of a connection frame; of a name that is hidden only its length is told.
  func encoded(hidingNames: Bool) -> ByteBuffer {
    var map = ByteBuffer(capacityBytes: 64)
    let names: [(StaticString, Name?)] = [
      ("client_name", clientName), ("library", library), ("library_version", libraryVersion), ("user", user),
    ]
    map.appendMapHead((database == nil ? 0 : 1) + names.count { $0.1 != nil })
    if let database {
      map.appendText("database" as StaticString)
      map.appendInteger(database)
    }
    for (name, value) in names {
      guard let value else { continue }
      map.appendText(name)
      value.item.withUnsafeBytes { if hidingNames { map.appendHidden($0) } else { map.append($0) } }
    }
    return map
  }
}
