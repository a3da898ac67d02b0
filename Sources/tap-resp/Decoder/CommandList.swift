// Every command of redis-server 7.0.15, as it describes itself (COMMAND), and some of later ones.
// Made by scripts/make-command-table.

extension CommandTable {
  /// A line for each: name, class, key specifications. `CONTAINER|SUBCOMMAND` stands behind its container.
  ///
  /// A key specification (redis.io, "Key specifications") is `BEGIN+LAST/STEP/LIMIT` for a range of arguments, or
  /// `BEGIN#COUNT/FIRST/STEP` where an argument says how many there are; BEGIN is `@POSITION`, or `KEYWORD@POSITION` where
  /// the keys stand behind a word that is looked for from there on. `?`: an empty argument is no key.
  static let commands: StaticString = """
    ACL other
    ACL|CAT other
    ACL|DELUSER admin
    ACL|DRYRUN admin
    ACL|GENPASS other
    ACL|GETUSER admin
    ACL|HELP other
    ACL|LIST admin
    ACL|LOAD admin
    ACL|LOG admin
    ACL|SAVE admin
    ACL|SETUSER admin
    ACL|USERS admin
    ACL|WHOAMI other
    APPEND write @1+0/1/0
    ASKING connection
    AUTH connection
    BGREWRITEAOF admin
    BGSAVE admin
    BITCOUNT read @1+0/1/0
    BITFIELD write @1+0/1/0
    BITFIELD_RO read @1+0/1/0
    BITOP write @2+0/1/0 @3+-1/1/0
    BITPOS read @1+0/1/0
    BLMOVE blocking @1+0/1/0 @2+0/1/0
    BLMPOP blocking @2#0/1/1
    BLPOP blocking @1+-2/1/0
    BRPOP blocking @1+-2/1/0
    BRPOPLPUSH blocking @1+0/1/0 @2+0/1/0
    BZMPOP blocking @2#0/1/1
    BZPOPMAX blocking @1+-2/1/0
    BZPOPMIN blocking @1+-2/1/0
    CLIENT other
    CLIENT|CACHING connection
    CLIENT|GETNAME connection
    CLIENT|GETREDIR connection
    CLIENT|HELP connection
    CLIENT|ID connection
    CLIENT|INFO connection
    CLIENT|KILL admin
    CLIENT|LIST admin
    CLIENT|NO-EVICT admin
    CLIENT|NO-TOUCH connection
    CLIENT|PAUSE admin
    CLIENT|REPLY connection
    CLIENT|SETINFO connection
    CLIENT|SETNAME connection
    CLIENT|TRACKING connection
    CLIENT|TRACKINGINFO connection
    CLIENT|UNBLOCK admin
    CLIENT|UNPAUSE admin
    CLUSTER other
    CLUSTER|ADDSLOTS admin
    CLUSTER|ADDSLOTSRANGE admin
    CLUSTER|BUMPEPOCH admin
    CLUSTER|COUNT-FAILURE-REPORTS admin
    CLUSTER|COUNTKEYSINSLOT other
    CLUSTER|DELSLOTS admin
    CLUSTER|DELSLOTSRANGE admin
    CLUSTER|FAILOVER admin
    CLUSTER|FLUSHSLOTS admin
    CLUSTER|FORGET admin
    CLUSTER|GETKEYSINSLOT other
    CLUSTER|HELP other
    CLUSTER|INFO other
    CLUSTER|KEYSLOT other
    CLUSTER|LINKS other
    CLUSTER|MEET admin
    CLUSTER|MYID other
    CLUSTER|MYSHARDID other
    CLUSTER|NODES other
    CLUSTER|REPLICAS admin
    CLUSTER|REPLICATE admin
    CLUSTER|RESET admin
    CLUSTER|SAVECONFIG admin
    CLUSTER|SET-CONFIG-EPOCH admin
    CLUSTER|SETSLOT admin
    CLUSTER|SHARDS other
    CLUSTER|SLAVES admin
    CLUSTER|SLOTS other
    COMMAND connection
    COMMAND|COUNT connection
    COMMAND|DOCS connection
    COMMAND|GETKEYS connection
    COMMAND|GETKEYSANDFLAGS connection
    COMMAND|HELP connection
    COMMAND|INFO connection
    COMMAND|LIST connection
    CONFIG other
    CONFIG|GET admin
    CONFIG|HELP other
    CONFIG|RESETSTAT admin
    CONFIG|REWRITE admin
    CONFIG|SET admin
    COPY write @1+0/1/0 @2+0/1/0
    DBSIZE read
    DEBUG admin
    DECR write @1+0/1/0
    DECRBY write @1+0/1/0
    DEL write @1+-1/1/0
    DISCARD transaction
    DUMP read @1+0/1/0
    ECHO connection
    EVAL scripting @2#0/1/1
    EVALSHA scripting @2#0/1/1
    EVALSHA_RO scripting @2#0/1/1
    EVAL_RO scripting @2#0/1/1
    EXEC transaction
    EXISTS read @1+-1/1/0
    EXPIRE write @1+0/1/0
    EXPIREAT write @1+0/1/0
    EXPIRETIME read @1+0/1/0
    FAILOVER admin
    FCALL scripting @2#0/1/1
    FCALL_RO scripting @2#0/1/1
    FLUSHALL write
    FLUSHDB write
    FUNCTION other
    FUNCTION|DELETE scripting
    FUNCTION|DUMP scripting
    FUNCTION|FLUSH scripting
    FUNCTION|HELP scripting
    FUNCTION|KILL scripting
    FUNCTION|LIST scripting
    FUNCTION|LOAD scripting
    FUNCTION|RESTORE scripting
    FUNCTION|STATS scripting
    GEOADD write @1+0/1/0
    GEODIST read @1+0/1/0
    GEOHASH read @1+0/1/0
    GEOPOS read @1+0/1/0
    GEORADIUS write @1+0/1/0 STORE@6+0/1/0 STOREDIST@6+0/1/0
    GEORADIUSBYMEMBER write @1+0/1/0 STORE@5+0/1/0 STOREDIST@5+0/1/0
    GEORADIUSBYMEMBER_RO read @1+0/1/0
    GEORADIUS_RO read @1+0/1/0
    GEOSEARCH read @1+0/1/0
    GEOSEARCHSTORE write @1+0/1/0 @2+0/1/0
    GET read @1+0/1/0
    GETBIT read @1+0/1/0
    GETDEL write @1+0/1/0
    GETEX write @1+0/1/0
    GETRANGE read @1+0/1/0
    GETSET write @1+0/1/0
    HDEL write @1+0/1/0
    HELLO connection
    HEXISTS read @1+0/1/0
    HEXPIRE write @1+0/1/0
    HEXPIREAT write @1+0/1/0
    HEXPIRETIME read @1+0/1/0
    HGET read @1+0/1/0
    HGETALL read @1+0/1/0
    HGETDEL write @1+0/1/0
    HGETEX write @1+0/1/0
    HINCRBY write @1+0/1/0
    HINCRBYFLOAT write @1+0/1/0
    HKEYS read @1+0/1/0
    HLEN read @1+0/1/0
    HMGET read @1+0/1/0
    HMSET write @1+0/1/0
    HPERSIST write @1+0/1/0
    HPEXPIRE write @1+0/1/0
    HPEXPIREAT write @1+0/1/0
    HPEXPIRETIME read @1+0/1/0
    HPTTL read @1+0/1/0
    HRANDFIELD read @1+0/1/0
    HSCAN read @1+0/1/0
    HSET write @1+0/1/0
    HSETEX write @1+0/1/0
    HSETNX write @1+0/1/0
    HSTRLEN read @1+0/1/0
    HTTL read @1+0/1/0
    HVALS read @1+0/1/0
    INCR write @1+0/1/0
    INCRBY write @1+0/1/0
    INCRBYFLOAT write @1+0/1/0
    INFO other
    KEYS read
    LASTSAVE other
    LATENCY other
    LATENCY|DOCTOR admin
    LATENCY|GRAPH admin
    LATENCY|HELP other
    LATENCY|HISTOGRAM admin
    LATENCY|HISTORY admin
    LATENCY|LATEST admin
    LATENCY|RESET admin
    LCS read @1+1/1/0
    LINDEX read @1+0/1/0
    LINSERT write @1+0/1/0
    LLEN read @1+0/1/0
    LMOVE write @1+0/1/0 @2+0/1/0
    LMPOP write @1#0/1/1
    LOLWUT read
    LPOP write @1+0/1/0
    LPOS read @1+0/1/0
    LPUSH write @1+0/1/0
    LPUSHX write @1+0/1/0
    LRANGE read @1+0/1/0
    LREM write @1+0/1/0
    LSET write @1+0/1/0
    LTRIM write @1+0/1/0
    MEMORY other
    MEMORY|DOCTOR other
    MEMORY|HELP other
    MEMORY|MALLOC-STATS other
    MEMORY|PURGE other
    MEMORY|STATS other
    MEMORY|USAGE read @2+0/1/0
    MGET read @1+-1/1/0
    MIGRATE write ?@3+0/1/0 KEYS@-2+-1/1/0
    MODULE other
    MODULE|HELP other
    MODULE|LIST admin
    MODULE|LOAD admin
    MODULE|LOADEX admin
    MODULE|UNLOAD admin
    MONITOR admin
    MOVE write @1+0/1/0
    MSET write @1+-1/2/0
    MSETNX write @1+-1/2/0
    MULTI transaction
    OBJECT other
    OBJECT|ENCODING read @2+0/1/0
    OBJECT|FREQ read @2+0/1/0
    OBJECT|HELP other
    OBJECT|IDLETIME read @2+0/1/0
    OBJECT|REFCOUNT read @2+0/1/0
    PERSIST write @1+0/1/0
    PEXPIRE write @1+0/1/0
    PEXPIREAT write @1+0/1/0
    PEXPIRETIME read @1+0/1/0
    PFADD write @1+0/1/0
    PFCOUNT read @1+-1/1/0
    PFDEBUG admin @2+0/1/0
    PFMERGE write @1+0/1/0 @2+-1/1/0
    PFSELFTEST admin
    PING connection
    PSETEX write @1+0/1/0
    PSUBSCRIBE pubsub
    PSYNC admin
    PTTL read @1+0/1/0
    PUBLISH pubsub
    PUBSUB other
    PUBSUB|CHANNELS pubsub
    PUBSUB|HELP other
    PUBSUB|NUMPAT pubsub
    PUBSUB|NUMSUB pubsub
    PUBSUB|SHARDCHANNELS pubsub
    PUBSUB|SHARDNUMSUB pubsub
    PUNSUBSCRIBE pubsub
    QUIT connection
    RANDOMKEY read
    READONLY connection
    READWRITE connection
    RENAME write @1+0/1/0 @2+0/1/0
    RENAMENX write @1+0/1/0 @2+0/1/0
    REPLCONF admin
    REPLICAOF admin
    RESET connection
    RESTORE write @1+0/1/0
    RESTORE-ASKING write @1+0/1/0
    ROLE other
    RPOP write @1+0/1/0
    RPOPLPUSH write @1+0/1/0 @2+0/1/0
    RPUSH write @1+0/1/0
    RPUSHX write @1+0/1/0
    SADD write @1+0/1/0
    SAVE admin
    SCAN read
    SCARD read @1+0/1/0
    SCRIPT other
    SCRIPT|DEBUG scripting
    SCRIPT|EXISTS scripting
    SCRIPT|FLUSH scripting
    SCRIPT|HELP scripting
    SCRIPT|KILL scripting
    SCRIPT|LOAD scripting
    SDIFF read @1+-1/1/0
    SDIFFSTORE write @1+0/1/0 @2+-1/1/0
    SELECT connection
    SET write @1+0/1/0
    SETBIT write @1+0/1/0
    SETEX write @1+0/1/0
    SETNX write @1+0/1/0
    SETRANGE write @1+0/1/0
    SHUTDOWN admin
    SINTER read @1+-1/1/0
    SINTERCARD read @1#0/1/1
    SINTERSTORE write @1+0/1/0 @2+-1/1/0
    SISMEMBER read @1+0/1/0
    SLAVEOF admin
    SLOWLOG other
    SLOWLOG|GET admin
    SLOWLOG|HELP other
    SLOWLOG|LEN admin
    SLOWLOG|RESET admin
    SMEMBERS read @1+0/1/0
    SMISMEMBER read @1+0/1/0
    SMOVE write @1+0/1/0 @2+0/1/0
    SORT write @1+0/1/0 STORE@2+0/1/0
    SORT_RO read @1+0/1/0
    SPOP write @1+0/1/0
    SPUBLISH pubsub
    SRANDMEMBER read @1+0/1/0
    SREM write @1+0/1/0
    SSCAN read @1+0/1/0
    SSUBSCRIBE pubsub
    STRLEN read @1+0/1/0
    SUBSCRIBE pubsub
    SUBSTR read @1+0/1/0
    SUNION read @1+-1/1/0
    SUNIONSTORE write @1+0/1/0 @2+-1/1/0
    SUNSUBSCRIBE pubsub
    SWAPDB write
    SYNC admin
    TIME other
    TOUCH read @1+-1/1/0
    TTL read @1+0/1/0
    TYPE read @1+0/1/0
    UNLINK write @1+-1/1/0
    UNSUBSCRIBE pubsub
    UNWATCH transaction
    WAIT blocking
    WAITAOF blocking
    WATCH transaction @1+-1/1/0
    XACK write @1+0/1/0
    XACKDEL write @1+0/1/0
    XADD write @1+0/1/0
    XAUTOCLAIM write @1+0/1/0
    XCLAIM write @1+0/1/0
    XDEL write @1+0/1/0
    XDELEX write @1+0/1/0
    XGROUP other
    XGROUP|CREATE write @2+0/1/0
    XGROUP|CREATECONSUMER write @2+0/1/0
    XGROUP|DELCONSUMER write @2+0/1/0
    XGROUP|DESTROY write @2+0/1/0
    XGROUP|HELP other
    XGROUP|SETID write @2+0/1/0
    XINFO other
    XINFO|CONSUMERS read @2+0/1/0
    XINFO|GROUPS read @2+0/1/0
    XINFO|HELP other
    XINFO|STREAM read @2+0/1/0
    XLEN read @1+0/1/0
    XPENDING read @1+0/1/0
    XRANGE read @1+0/1/0
    XREAD blocking STREAMS@1+-1/1/2
    XREADGROUP blocking STREAMS@4+-1/1/2
    XREVRANGE read @1+0/1/0
    XSETID write @1+0/1/0
    XTRIM write @1+0/1/0
    ZADD write @1+0/1/0
    ZCARD read @1+0/1/0
    ZCOUNT read @1+0/1/0
    ZDIFF read @1#0/1/1
    ZDIFFSTORE write @1+0/1/0 @2#0/1/1
    ZINCRBY write @1+0/1/0
    ZINTER read @1#0/1/1
    ZINTERCARD read @1#0/1/1
    ZINTERSTORE write @1+0/1/0 @2#0/1/1
    ZLEXCOUNT read @1+0/1/0
    ZMPOP write @1#0/1/1
    ZMSCORE read @1+0/1/0
    ZPOPMAX write @1+0/1/0
    ZPOPMIN write @1+0/1/0
    ZRANDMEMBER read @1+0/1/0
    ZRANGE read @1+0/1/0
    ZRANGEBYLEX read @1+0/1/0
    ZRANGEBYSCORE read @1+0/1/0
    ZRANGESTORE write @1+0/1/0 @2+0/1/0
    ZRANK read @1+0/1/0
    ZREM write @1+0/1/0
    ZREMRANGEBYLEX write @1+0/1/0
    ZREMRANGEBYRANK write @1+0/1/0
    ZREMRANGEBYSCORE write @1+0/1/0
    ZREVRANGE read @1+0/1/0
    ZREVRANGEBYLEX read @1+0/1/0
    ZREVRANGEBYSCORE read @1+0/1/0
    ZREVRANK read @1+0/1/0
    ZSCAN read @1+0/1/0
    ZSCORE read @1+0/1/0
    ZUNION read @1#0/1/1
    ZUNIONSTORE write @1+0/1/0 @2#0/1/1
    """
}
