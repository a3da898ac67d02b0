// Which types of reply a command can have, so that a reply which cannot be its own is never taken for it.
import TapWire

/// Types of reply. An error may answer anything, and so may QUEUED.
struct ReplyForms: OptionSet {
  let rawValue: UInt8

  static let status = ReplyForms(rawValue: 1 << 0)
  static let integer = ReplyForms(rawValue: 1 << 1)
  static let bulk = ReplyForms(rawValue: 1 << 2)
  static let null = ReplyForms(rawValue: 1 << 3)
  /// An array, or with RESP3 a map or a set.
  static let aggregate = ReplyForms(rawValue: 1 << 4)
  /// A bulk string with RESP2.
  static let double = ReplyForms(rawValue: 1 << 5)

  /// The form of a response by the name of its type; nil where nothing follows from it.
  private init?(type: String) {
    switch type {
    case "simple_string": self = .status
    case "integer": self = .integer
    case "bulk_string": self = .bulk
    case "null": self = .null
    case "array", "map", "set": self = .aggregate
    case "double": self = .double
    default: return nil
    }
  }

  init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Whether `response` is of a type that the command can be answered with, as far as both are known.
  static func allow(_ response: UnsafeRawBufferPointer, to command: CommandName) -> Bool {
    guard let forms = ofCommands[command], let (type, _) = Subscriptions.value(of: response),
      let form = ReplyForms(type: type)
    else { return true }
    return forms.contains(form) || form == .status && Subscriptions.isSimpleString("QUEUED", response)
  }

  /// The replies that the commands' pages on redis.io list, RESP2 and RESP3 together. Commands whose options or
  /// subcommands change nearly everything are left out.
  private static let ofCommands: [CommandName: ReplyForms] = {
    let rows: [(ReplyForms, String)] = [
      (
        .status,
        "AUTH DISCARD FLUSHALL FLUSHDB HMSET LSET LTRIM MSET MULTI PFMERGE PSETEX QUIT READONLY READWRITE RENAME SELECT "
          + "SETEX SWAPDB TYPE UNWATCH WATCH"
      ),
      ([.status, .bulk, .null], "SET"),
      ([.status, .bulk, .aggregate], "PING"),
      (
        .integer,
        "APPEND BITCOUNT BITOP BITPOS COPY DBSIZE DECR DECRBY DEL EXISTS EXPIRE EXPIREAT EXPIRETIME GETBIT HDEL HEXISTS "
          + "HINCRBY HLEN HSET HSETNX HSTRLEN INCR INCRBY LASTSAVE LINSERT LLEN LPUSH LPUSHX LREM MOVE MSETNX PERSIST "
          + "PEXPIRE PEXPIREAT PEXPIRETIME PFADD PFCOUNT PTTL PUBLISH RENAMENX RPUSH RPUSHX SADD SCARD SDIFFSTORE SETBIT "
          + "SETNX SETRANGE SINTERCARD SINTERSTORE SISMEMBER SMOVE SPUBLISH SREM STRLEN SUNIONSTORE TOUCH TTL UNLINK XACK "
          + "XDEL XLEN XTRIM ZCARD ZCOUNT ZINTERSTORE ZLEXCOUNT ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE "
          + "ZUNIONSTORE"
      ),
      (.bulk, "ECHO GETRANGE SUBSTR"),
      ([.bulk, .null], "DUMP GET GETDEL GETEX GETSET HGET LINDEX RANDOMKEY XADD"),
      ([.bulk, .null, .aggregate], "HRANDFIELD LPOP RPOP SPOP SRANDMEMBER"),
      ([.bulk, .double], "HINCRBYFLOAT INCRBYFLOAT"),
      ([.bulk, .null, .double], "ZINCRBY ZSCORE"),
      ([.bulk, .null, .double, .integer], "ZADD"),
      ([.integer, .null, .aggregate], "ZRANK ZREVRANK"),
      (
        [.aggregate, .null],
        "BLMPOP BLPOP BRPOP BZMPOP BZPOPMAX BZPOPMIN EXEC HGETALL HKEYS HMGET HSCAN HVALS KEYS LMPOP LRANGE MGET ROLE SCAN "
          + "SDIFF SINTER SMEMBERS SMISMEMBER SSCAN SUNION TIME XRANGE XREAD XREADGROUP XREVRANGE ZMPOP ZPOPMAX ZPOPMIN "
          + "ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZSCAN"
      ),
    ]
    var forms: [CommandName: ReplyForms] = [:]
    for (form, names) in rows {
      for name in names.split(separator: " ") { forms[CommandName(String(name))] = form }
    }
    return forms
  }()
}
