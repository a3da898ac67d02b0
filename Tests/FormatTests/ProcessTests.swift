// How processes are named for people, and how their containers stand in JSON.
import Format
import Support
import TapWire
import Testing

@Suite struct ProcessTests {
  private static func stream(_ description: Item) -> [UInt8] {
    var stream = Stream()
    stream.process(1, description)
    stream.flow(1, process: 1)
    stream.exchange(request: ["a": 1], response: nil)
    return stream.ended
  }

  private func name(_ description: Item) -> String {
    let line = Formatted(Self.stream(description), style: .pretty(isColored: false)).text
    return String(line.dropFirst(2).prefix { $0 != "→" }.dropLast())
  }

  private static let id = String(repeating: "0123456789abcdef", count: 4)

  static let names: [(Item, String)] = [
    (["comm": "redis-cli"], "redis-cli"),
    (["exe": "/usr/bin/redis-cli"], "redis-cli"),
    (["pid": 7], "7"),
    (["comm": "redis-cli", "container": ["id": .text(id), "name": "user-service"]], "user-service/redis-cli"),
    (["comm": "redis-cli", "container": ["id": .text(id)]], "0123456789ab/redis-cli"),
    (
      ["comm": "node", "container": ["id": .text(id), "name": "web", "pod": "cart-7d9f", "namespace": "prod"]],
      "cart-7d9f/web/node"
    ),
    (["comm": "pause", "container": ["id": .text(id), "pod": "cart-7d9f"]], "cart-7d9f/0123456789ab/pause"),
    (["comm": "x", "container": 7], "x"),
    (["comm": "x", "container": ["name": 7, "id": ["y"]]], "x"),
    // Shown, never obeyed.
    (["comm": "x", "container": ["name": "a\n\u{1b}[2J\u{202e}"]], "a\\n\\x1b[2J\\u{202e}/x"),
    (
      ["comm": "x", "container": ["name": .text(String(repeating: "n", count: 40))]],
      String(repeating: "n", count: 32) + "…/x"
    ),
  ]

  @Test(arguments: names) func naming(_ description: Item, _ expected: String) {
    #expect(name(description) == expected)
  }

  static let scripts: [(String, String, [Item], String)] = [
    ("python3", "/usr/bin/python3.11", ["python3", "app.py"], "python3 app.py"),
    (
      "python3", "/usr/bin/python3.11", ["python3", "-u", "-W", "ignore", "/srv/app.py", "--port", "1"],
      "python3 app.py"
    ),
    ("python3", "/usr/bin/python3.11", ["python3", "-c", "import os"], "python3"),
    ("python3", "/usr/bin/python3.11", ["python3"], "python3"),
    ("node", "/usr/bin/node", ["node", "--inspect", "server.js"], "node server.js"),
    ("java", "/usr/lib/jvm/bin/java", ["java", "-Xmx1g", "-jar", "/opt/shop.jar"], "java shop.jar"),
    ("bash", "/bin/bash", ["bash", "./run.sh"], "bash run.sh"),
    ("bash", "/bin/bash", ["bash", "-c", "redis-cli GET x"], "bash"),
    // Program text, whatever stands before it.
    ("bash", "/usr/bin/bash", ["bash", "-lc", "redis-cli -a secret GET foo"], "bash"),
    ("sh", "/usr/bin/dash", ["/bin/sh", "-euxc", "exec app"], "sh"),
    ("bash", "/usr/bin/bash", ["bash", "-s", "secret"], "bash"),
    ("python3", "/usr/bin/python3.11", ["python3", "-Bc", "import redis"], "python3"),
    ("python3", "/usr/bin/python3.11", ["python3", "-um", "celery", "worker"], "python3"),
    ("python3", "/usr/bin/python3.11", ["python3", "-", "secret"], "python3"),
    ("perl", "/usr/bin/perl", ["perl", "-MRedis", "-E", "say 1"], "perl"),
    ("ruby", "/usr/bin/ruby3.1", ["ruby", "-rredis", "-ne", "puts 1"], "ruby"),
    ("php", "/usr/bin/php8.2", ["php", "-r", "echo 1;"], "php"),
    ("node", "/usr/bin/node", ["node", "-p", "process.env.SECRET"], "node"),
    ("node", "/usr/bin/node", ["node", "--eval", "1"], "node"),
    ("node", "/usr/bin/node", ["node", "--eval=1", "secret"], "node"),
    ("lua", "/usr/bin/lua5.4", ["lua", "-e", "print(1)", "x.lua"], "lua"),
    ("python3", "/usr/bin/python3.11", ["python3", "no script"], "python3"),
    // A file, whatever stands before it.
    ("bash", "/usr/bin/bash", ["bash", "-e", "/opt/deploy.sh"], "bash deploy.sh"),
    ("bash", "/usr/bin/bash", ["bash", "-euo", "pipefail", "deploy.sh"], "bash deploy.sh"),
    ("python3", "/usr/bin/python3.11", ["python3", "-Wonce", "app.py"], "python3 app.py"),
    ("perl", "/usr/bin/perl", ["perl", "-MRedis", "-w", "job.pl"], "perl job.pl"),
    ("ruby", "/usr/bin/ruby3.1", ["ruby", "-r", "redis", "job.rb"], "ruby job.rb"),
    ("node", "/usr/bin/node", ["node", "--require", "dotenv/config", "app.js"], "node app.js"),
    ("node", "/usr/bin/node", ["node", "--require=dotenv/config", "app.js"], "node app.js"),
    ("php", "/usr/bin/php8.2", ["php", "-d", "x=1", "artisan", "queue:work"], "php artisan"),
    ("java", "/usr/bin/java", ["java", "-cp", "/a/b.jar", "com.x.Main"], "java com.x.Main"),
    // Started by its first line: the process has the script's name already.
    ("app.py", "/usr/bin/python3.11", ["/usr/bin/python3", "/srv/app.py"], "app.py"),
    ("a-very-long-nam", "/usr/bin/perl", ["perl", "a-very-long-name.pl"], "a-very-long-nam"),
    // No interpreter.
    ("redis-cli", "/usr/bin/redis-cli", ["redis-cli", "GET"], "redis-cli"),
    ("python3", "/usr/bin/python3", ["python3", "a\u{1b}b.py"], "python3 a\\x1bb.py"),
  ]

  @Test(arguments: scripts) func interpreters(_ comm: String, _ exe: String, _ arguments: [Item], _ expected: String) {
    #expect(name(["comm": .text(comm), "exe": .text(exe), "command_line": .array(arguments)]) == expected)
  }

  /// Names of processes in the lines of exchanges that name a process without a flow: 1 ended long ago, 2 just now, 3 never.
  @Test func whoEndedIsForgottenAfterAWhile() {
    var stream = Stream()
    for id in 1...3 { stream.process(Int64(id), ["comm": .text("program-\(id)")]) }
    stream.flow(1, process: 1)
    stream.append([10, 1])
    stream.append([10, 99])
    stream.exchange(request: ["still": "open"], response: nil, process: 1)
    stream.append([5, 1, 0, "closed"])
    for id in 100..<1200 {
      stream.process(Int64(id), ["comm": "short"])
      stream.append([10, Item(integerLiteral: Int64(id))])
    }
    stream.append([10, 2])
    for id in 1...3 { stream.exchange(request: ["by": 1], response: nil, process: Item(integerLiteral: Int64(id))) }
    let lines = Formatted(stream.ended, style: .pretty(isColored: false)).lines
    let names = lines.map { $0.split(separator: " ")[1] }
    #expect(names == ["program-1", "?", "program-2", "program-3"])
  }

  /// One that ended takes one place among those, however often its flow is described again.
  @Test func whoEndedTakesOnePlace() {
    var stream = Stream()
    for id in 1...2 as ClosedRange<Int64> {
      stream.process(id, ["comm": .text("program-\(id)")])
      stream.append([10, Item(integerLiteral: id)])
    }
    for _ in 0..<1200 { stream.flow(1, process: 2) }
    stream.exchange(request: ["by": 1], response: nil, process: 1)
    #expect(Formatted(stream.ended, style: .pretty(isColored: false)).text.hasPrefix("■ program-1 "))
  }

  @Test func containersInJSON() {
    let description: Item = [
      "pid": 1, "cgroup": "/x",
      "container": [
        "id": "c", "name": "web", "image": "i:1", "image_digest": "sha256:1", "runtime": "docker", "pod": "p",
        "pod_uid": "u",
        "namespace": "n", "labels": ["a": "b", "\n": "\""], "labels_omitted": 1, "later": true,
      ],
    ]
    let plain = """
      "process":{"pid":1,"cgroup":"/x","container_id":"c","container":"web","image":"i:1","image_digest":"sha256:1",\
      "container_runtime":"docker","pod":"p","pod_uid":"u","namespace":"n",
      """
    #expect(Formatted(Self.stream(description)).text.contains(plain + "\"later\":true}"))
    let labelled = plain + #""labels":{"a":"b","\n":"\""},"labels_omitted":1,"later":true}"#
    #expect(Formatted(Self.stream(description), style: .json(showsLabels: true)).text.contains(labelled))
  }

  @Test func thePeerIsTheProcessAtTheOtherEnd() {
    var stream = Stream()
    stream.append([2, 1, 1, ["transport": "tcp", "local": "a", "remote": "b", "role": "client", "peer_process": 2]])
    stream.process(1, ["comm": "redis-cli"])
    stream.exchange(request: ["a": 1], response: nil)
    stream.process(2, ["comm": "redis-server", "container": ["id": "c", "name": "cache"]])
    stream.exchange(request: ["a": 1], response: nil)
    let lines = Formatted(stream.ended).lines
    #expect(lines.map { $0.contains(#""process":{"comm":"redis-cli"}"#) } == [true, true])
    #expect(!lines[0].contains("peer"))
    #expect(lines[1].contains(#","peer":{"comm":"redis-server","container_id":"c","container":"cache"}"#))
  }

  /// What tap-merge has made of both views.
  @Test func bothViewsInOneLine() {
    var stream = Stream()
    stream.process(1, ["comm": "redis-cli"])
    stream.process(2, ["comm": "redis-server", "container": ["id": "c", "name": "cache"]])
    stream.append([2, 1, 1, ["transport": "tcp", "local": "a", "remote": "b", "role": "client", "peer_process": 2]])
    stream.append([
      6, 1, 1_000_000, 1_100_129, "redis", ["command": "GET", "args": ["k"]],
      ["response_type": "null", "response_value": nil],
      [], 1_090_000, nil, nil,
      ["flow": 2, "start": 1_030_000, "end": 1_061_500, "first_byte": 1_061_000, "later": [1]],
    ])
    let times =
      #","latency":"100.129µs","latency_ns":100129,"first_byte_ns":90000,"server_latency":"31.5µs","#
      + #""server_latency_ns":31500,"server_first_byte_ns":31000,"client""#
    #expect(Formatted(stream.ended).text.contains(times))
    #expect(
      Formatted(stream.ended).text.contains(#""peer":{"comm":"redis-server","container_id":"c","container":"cache"}"#))
    let pretty = Formatted(stream.ended, style: .pretty(isColored: false)).lines
    #expect(pretty == ["■ redis-cli → cache/redis-server: GET k (nil)  100.129µs (server 31.5µs)"])
  }

  /// A name that both have does not stand twice.
  @Test func aContainerOfAStranger() {
    let text = Formatted(Self.stream(["image": "x", "container": ["image": "y"]])).text
    #expect(text.contains(#""process":{"map":[["image","x"],["image","y"]]}"#))
  }
}
