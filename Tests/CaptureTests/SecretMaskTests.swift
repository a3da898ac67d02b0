// Passwords in command lines, as people write them.
import Testing

@testable import tap_capture

@Suite struct SecretMaskTests {
  @Test(arguments: [
    // Clients of Redis and its relatives.
    ("redis-cli -p 6379 -a s3cret GET key", "redis-cli -p 6379 -a *** GET key"),
    ("/usr/bin/redis-cli --pass s3cret PING", "/usr/bin/redis-cli --pass *** PING"),
    ("redis-cli --pass=s3cret PING", "redis-cli --pass=*** PING"),
    ("valkey-cli -a s3cret", "valkey-cli -a ***"),
    ("keydb-cli -a s3cret", "keydb-cli -a ***"),
    ("redis-benchmark -a s3cret -n 5", "redis-benchmark -a *** -n 5"),
    ("redis-cli AUTH user s3cret", "redis-cli AUTH *** ***"),
    ("redis-cli auth s3cret", "redis-cli auth ***"),
    ("redis-cli HELLO 3 AUTH user s3cret", "redis-cli HELLO 3 AUTH *** ***"),
    ("redis-cli CONFIG SET requirepass s3cret", "redis-cli CONFIG SET requirepass ***"),
    ("redis-server --port 7 --requirepass s3cret --save x", "redis-server --port 7 --requirepass *** --save x"),
    ("redis-server --masterauth s3cret", "redis-server --masterauth ***"),
    ("redis-cli -u redis://user:s3cret@host:6379/0", "redis-cli -u redis://user:***@host:6379/0"),
    ("redis-cli ACL SETUSER x on >s3cret ~*", "redis-cli ACL SETUSER x on >*** ~*"),
    ("redis-cli MIGRATE h 1 k 0 5 AUTH2 u s3cret", "redis-cli MIGRATE h 1 k 0 5 AUTH2 *** ***"),
    ("redis-cli CONFIG SET PrimaryAuth s3cret", "redis-cli CONFIG SET PrimaryAuth ***"),
    ("redis-cli config set tls-key-file-pass s3cret", "redis-cli config set tls-key-file-pass ***"),
    ("redis-cli SENTINEL SET m auth-pass s3cret", "redis-cli SENTINEL SET m auth-pass ***"),
    ("redis-server --user default on >s3cret", "redis-server --user default on >***"),
    // Behind a program that runs another.
    ("sudo -u me redis-cli -a s3cret GET key", "sudo -u me redis-cli -a *** GET key"),
    ("python3 run.py /usr/bin/redis-cli -a s3cret", "python3 run.py /usr/bin/redis-cli -a ***"),
    // Other programs.
    ("app --redis-password s3cret --port 5", "app --redis-password *** --port 5"),
    ("app -db-pass s3cret", "app -db-pass ***"),
    ("app --PASSWORD s3cret", "app --PASSWORD ***"),
    ("app --Password=s3cret", "app --Password=***"),
    ("mysql -uroot -ps3cret db", "mysql -uroot -p*** db"),
    ("mysql --password=s3cret db", "mysql --password=*** db"),
    ("mysql -p db", "mysql -p db"),
    ("mongosh -u me -p s3cret", "mongosh -u me -p ***"),
    ("sshpass -p s3cret ssh host", "sshpass -p *** ssh host"),
    ("curl -u me:s3cret https://host/", "curl -u *** https://host/"),
    ("app --token s3cret --port 5", "app --token *** --port 5"),
    ("app --api-key=s3cret", "app --api-key=***"),
    ("env DB_PASSWORD=s3cret app", "env DB_PASSWORD=*** app"),
    ("app github-token=s3cret", "app github-token=***"),
    ("python app.py amqp://me:s3cret@host//queue", "python app.py amqp://me:***@host//queue"),
    ("app --url=postgres://me:s3@cret@host/db", "app --url=postgres://me:***@host/db"),
    ("app a://:s3cret@b c://d:s3cret@e", "app a://:***@b c://d:***@e"),
    // Where no user is named, redis-cli takes what stands there for the password.
    ("redis-cli -u redis://s3cret@host:6379/0", "redis-cli -u redis://***@host:6379/0"),
    ("git clone https://s3cret@host/x", "git clone https://***@host/x"),
    ("app redis://h:1?db=2&password=s3cret&x=1", "app redis://h:1?db=2&password=***&x=1"),
    ("app --auth s3cret", "app --auth ***"), ("app --auth=s3cret", "app --auth=***"),
    ("app --password:s3cret", "app --password:***"), ("app --pw s3cret", "app --pw ***"),
    ("app --credentials u:s3cret", "app --credentials ***"),
    ("env REDISCLI_AUTH=s3cret app", "env REDISCLI_AUTH=*** app"),
  ])
  func secretsAreReplaced(given: String, expected: String) {
    #expect(mask(given) == expected)
    #expect(!mask(given).contains("s3cret"))
  }

  @Test(arguments: [
    "redis-cli -p 6379 GET a", "cp -a from to", "ssh -p 22 host", "curl https://host:8080/a@b", "app key=value",
    "app http://host/path:with@signs", "grep password file", "app tokens=5", "app x=y=z", "app --bypass 5",
    "nginx: worker process", "ssh://git@host/path", "git clone ssh://git@host/path", "app --author me",
    "app -I:dir x:y",
    "curl https://host/?q=password&page=2",
  ])
  func everythingElseStays(given: String) {
    #expect(mask(given) == given)
  }

  @Test(arguments: [
    ("redis-cli -a s3cret ping | grep PONG", "redis-cli -a *** ping | grep PONG"),
    ("redis-cli -a 's3cret with blanks' ping", "redis-cli -a *** ping"),
    ("redis-cli acl setuser x '>s3cret'  on", "redis-cli acl setuser x >***  on"),
    ("exec app\n --token s3cret\n", "exec app\n --token ***\n"),
    ("curl -H 'Authorization: Bearer s3cret' https://host", "curl -H 'Authorization: *** ***' https://host"),
    ("echo 'redis-cli -a s3cret' | sh -s x", "echo 'redis-cli -a ***' | sh -s x"),
    ("printf \"%s\" 'x --token s3cret' y", "printf \"%s\" 'x --token ***' y"),
    ("echo a  b", "echo a  b"),
  ])
  func aScriptIsACommandLine(script: String, expected: String) {
    let arguments = ["sh", "-c", script].map { Array($0.utf8) }
    #expect(SecretMask.masking(arguments).map { String(decoding: $0, as: UTF8.self) } == ["sh", "-c", expected])
  }

  @Test func bytesThatAreNoTextStay() {
    let arguments: [[UInt8]] = [[0xff, 0xfe], [0x80, 0x3d, 0xff]]
    #expect(SecretMask.masking(arguments) == arguments)
    #expect(SecretMask.masking([]) == [])
  }

  @Test func anOptionAtTheEndHasNoSecret() {
    #expect(mask("redis-cli -a") == "redis-cli -a")
  }

  private func mask(_ text: String) -> String {
    let arguments = text.split(separator: " ").map { Array($0.utf8) }
    return SecretMask.masking(arguments).map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ")
  }
}
