// Containers from the paths of control groups, as the runtimes make them.
import Testing

@testable import tap_capture

private let outer = String(repeating: "0123456789abcdef", count: 4)
private let inner = String(repeating: "fedcba9876543210", count: 4)
private let uid = "2b6a2a4b-9d3e-4c57-8a4f-0d1c2e3f4a5b"
private let slicedUID = "2b6a2a4b_9d3e_4c57_8a4f_0d1c2e3f4a5b"

@Suite struct ContainerTests {
  static let paths: [(String, ContainerIdentity?)] = [
    // Docker: cgroupfs driver, systemd driver, rootless.
    ("/docker/\(inner)", .init(id: inner, runtime: .docker)),
    ("/system.slice/docker-\(inner).scope", .init(id: inner, runtime: .docker)),
    (
      "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-\(inner).scope",
      .init(id: inner, runtime: .docker)
    ),
    // Podman: cgroupfs, systemd, with the group that it makes below, in a pod, rootless, split; its monitor is no container.
    ("/libpod_parent/libpod-\(inner)", .init(id: inner, runtime: .podman)),
    ("/machine.slice/libpod-\(inner).scope", .init(id: inner, runtime: .podman)),
    ("/machine.slice/libpod-\(inner).scope/container", .init(id: inner, runtime: .podman)),
    ("/machine.slice/machine-libpod_pod_\(outer).slice/libpod-\(inner).scope", .init(id: inner, runtime: .podman)),
    (
      "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-\(inner).scope/container",
      .init(id: inner, runtime: .podman)
    ),
    ("/system.slice/web.service/libpod-payload-\(inner)", .init(id: inner, runtime: .podman)),
    ("/machine.slice/libpod-conmon-\(inner).scope", nil),
    // Kubernetes: cgroupfs and systemd drivers, with and without a class of service, static pods, mixed drivers.
    ("/kubepods/burstable/pod\(uid)/\(inner)", .init(id: inner, runtime: nil, podUID: uid)),
    ("/kubepods/pod\(uid)/\(inner)", .init(id: inner, runtime: nil, podUID: uid)),
    (
      "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod\(slicedUID).slice/cri-containerd-\(inner).scope",
      .init(id: inner, runtime: .containerd, podUID: uid)
    ),
    (
      "/kubepods.slice/kubepods-pod\(slicedUID).slice/crio-\(inner).scope",
      .init(id: inner, runtime: .crio, podUID: uid)
    ),
    (
      "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod\(slicedUID).slice/docker-\(inner).scope",
      .init(id: inner, runtime: .docker, podUID: uid)
    ),
    (
      "/kubepods/burstable/podc7a2cbb8b9d2dcd2b6e4e1a8f3d5a6b7/\(inner)",
      .init(id: inner, runtime: nil, podUID: "c7a2cbb8b9d2dcd2b6e4e1a8f3d5a6b7")
    ),
    (
      "/system.slice/containerd.service/kubepods-burstable-pod\(slicedUID).slice:cri-containerd:\(inner)",
      .init(id: inner, runtime: .containerd, podUID: uid)
    ),
    ("/kubepods.slice/kubepods-pod\(slicedUID).slice/crio-conmon-\(inner).scope", nil),
    // containerd by itself; nerdctl.
    ("/default/\(inner)", .init(id: inner, runtime: nil)),
    ("/system.slice/nerdctl-\(inner).scope", .init(id: inner, runtime: .containerd)),
    // Nested: the innermost. A container may run systemd.
    ("/docker/\(outer)/docker/\(inner)", .init(id: inner, runtime: .docker)),
    ("/docker/\(outer)/kubelet/kubepods/besteffort/pod\(uid)/\(inner)", .init(id: inner, runtime: nil, podUID: uid)),
    ("/docker/\(outer)/system.slice/nginx.service", .init(id: outer, runtime: .docker)),
    // None.
    ("/", nil), ("", nil), ("/system.slice/ssh.service", nil), ("/user.slice/user-0.slice/session-3.scope", nil),
    ("/docker/\(inner.uppercased())", nil), ("/docker/\(inner)0", nil), ("/system.slice/docker-.scope", nil),
    ("/docker-\(inner.dropLast()).scope", nil), ("/::\(inner)", nil),
  ]

  @Test(arguments: paths) func identity(_ path: String, _ expected: ContainerIdentity?) {
    #expect(ContainerIdentity(cgroupPath: path.utf8) == expected)
  }

  /// /proc/PID/cgroup of version 1, of 2, and of a machine with both, where containers stand in one of them only.
  @Test func hierarchies() {
    func path(_ text: String) -> String? {
      CgroupPlace(parsing: Array(text.utf8)).map { String(decoding: $0.path, as: UTF8.self) }
    }
    #expect(path("0::/docker/1\n") == "/docker/1")
    #expect(path("2:cpu:/docker/1\n1:name=systemd:/\n0::/\n") == "/docker/1")
    #expect(path("2:cpu:/a\n1:name=systemd:/b\n0::/\n") == "/b")
    #expect(path("2:cpu:/a\n1:name=systemd:/b\n0::/c:d\n") == "/c:d")
    #expect(path("2:cpu:/\n0::/\n") == "/")
    #expect(path("nonsense\n") == nil && path("") == nil)
  }

  /// Where the unified hierarchy has the runtime's own service only, the container's group is in the others.
  @Test func containersOfVersion1BesideAService() throws {
    let text = "3:pids:/docker/\(outer)\n1:name=systemd:/docker/\(inner)\n0::/system.slice/containerd.service\n"
    let place = try #require(CgroupPlace(parsing: Array(text.utf8)))
    #expect(place.container == .init(id: inner, runtime: .docker) && !place.isUnified)
    #expect(place.path == Array("/docker/\(inner)".utf8))
    let both = "1:name=systemd:/docker/\(inner)\n0::/docker/\(outer)\n"
    let unified = try #require(CgroupPlace(parsing: Array(both.utf8)))
    #expect(unified.container?.id == outer && unified.isUnified)
  }

  /// The kernel shows a process that has exited at the root of each hierarchy of version 1.
  @Test func exitedProcesses() throws {
    func place(_ text: String) throws -> CgroupPlace { try #require(CgroupPlace(parsing: Array(text.utf8))) }
    let known = try place("2:pids:/docker/\(inner)\n1:name=systemd:/docker/\(inner)\n0::/\n")
    let service = try place("1:name=systemd:/docker/\(inner)\n0::/system.slice/containerd.service\n")
    #expect(try place("2:pids:/\n1:name=systemd:/\n0::/\n").after(known) == known)
    #expect(try place("1:name=systemd:/\n0::/system.slice/containerd.service\n").after(service) == service)
    let moved = try place("2:pids:/a\n1:name=systemd:/\n0::/\n")
    #expect(moved.after(known) == moved)
    // The unified hierarchy goes on telling.
    let unified = CgroupPlace(unified: Array("/docker/\(inner)".utf8))
    let root = try place("0::/\n")
    #expect(root.after(unified) == root)
  }

  @Test func units() {
    func unit(_ path: String) -> String? {
      systemdUnit(cgroupPath: Array(path.utf8)).map { String(decoding: $0, as: UTF8.self) }
    }
    #expect(unit("/system.slice/ssh.service") == "ssh.service")
    #expect(unit("/user.slice/user-1000.slice/session-3.scope") == "session-3.scope")
    #expect(unit("/user.slice/user-1000.slice/user@1000.service/app.slice/vim.service/sub") == "vim.service")
    #expect(unit("/system.slice/docker-\(inner).scope") == nil)
    #expect(unit("/docker/\(inner)/system.slice/nginx.service") == "nginx.service")
    #expect(unit("/") == nil)
  }

  @Test func usersOfAContainer() {
    let passwd = Array("root:x:0:0::/:/bin/sh\nsvc:x:1000:1000::/:\nother:x:1000:1::/:\nbad:x:y:\n\n:x:7:\n".utf8)
    let plain = ContainerUsers(passwd: passwd, uidMap: Array("         0          0 4294967295\n".utf8))
    #expect(plain.name(of: 0) == "root" && plain.name(of: 1000) == "svc")
    #expect(plain.name(of: 7) == nil && plain.name(of: 4) == nil)
    // Rootless: 0 inside is 1000 outside, the others begin at 100000.
    let rootless = ContainerUsers(passwd: passwd, uidMap: Array("0 1000 1\n1 100000 65536\nx\n".utf8))
    #expect(rootless.name(of: 1000) == "root" && rootless.name(of: 100_999) == "svc" && rootless.name(of: 0) == nil)
    let hostile = ContainerUsers(passwd: passwd, uidMap: Array("4294967295 0 4294967295\n".utf8))
    #expect(hostile.name(of: 1000) == nil)
  }

  @Test func labelsAreBounded() {
    let big = #""big":"\#(String(repeating: "x", count: 1 << 20))""#
    let labels = (0..<100).map { #""k\#($0)":"v""# } + [big, #""number":5"#, #""k1":"again""#]
    let read = scanning("{\(labels.joined(separator: ","))}") { ContainerLabels(&$0) }
    #expect(read.all.count == ContainerLabels.maximumCount && read.omitted == 103 - ContainerLabels.maximumCount)
    #expect(read.all.allSatisfy { $0.value == "v" } && read.all.map(\.name) == read.all.map(\.name).sorted())
    let long = (0..<20).map { #""k\#($0)":"\#(String(repeating: "x", count: 1000))""# }
    #expect(scanning("{\(long.joined(separator: ","))}") { ContainerLabels(&$0) }.omitted == 12)
    #expect(ContainerDescription.bounded(String(repeating: "n", count: 1025)) == nil)
  }

  private func scanning<Value>(_ text: String, _ read: (inout JSONScanner) -> Value) -> Value {
    var scanner = JSONScanner(Array(text.utf8))
    return read(&scanner)
  }

  /// A member of another type than expected costs only itself.
  @Test func lyingState() {
    let text = #"{"Name":"/web","Image":7,"Config":{"Image":["x"],"Labels":{"a":"b","c":5}},"More":[[[]]]}"#
    let docker = scanning(text) { DockerConfiguration(&$0) }
    #expect(docker.name == "/web" && docker.imageDigest == nil && docker.image == nil)
    #expect(docker.labels.all.map(\.name) == ["a"] && docker.labels.omitted == 1)
    #expect(scanning("[]") { DockerConfiguration(&$0) }.name == nil)
  }

  @Test func storedContainers() throws {
    let list = #"""
      [7, {"names": ["other"], "id": "1"},
       {"id": "2", "names": [5, "web", "web2"], "image": "cd", "metadata": "{\"image-name\":\"shop/web:7\"}"}, {"id": "2"}]
      """#
    let stored = try #require(scanning(list) { StoredContainer(id: "2", in: &$0) })
    #expect(stored.name == "web" && stored.image == "cd" && stored.imageName == "shop/web:7")
    #expect(scanning(list) { StoredContainer(id: "3", in: &$0) } == nil)
  }

  static let references: [(String, String?)] = [
    ("sha256:\(inner)", "sha256:\(inner)"), (inner, "sha256:\(inner)"),
    ("registry.example:5000/shop/web@sha256:\(inner)", "sha256:\(inner)"), ("registry.example/shop/web:7", nil),
    ("", nil),
  ]

  /// CRI-O has written all of them.
  @Test(arguments: references) func imageReferences(_ reference: String, _ digest: String?) {
    #expect(imageDigest(inReference: reference) == digest)
  }

  @Test func monitors() throws {
    let line = "/usr/bin/conmon\0--api-version\01\0-c\0\(inner)\0-b\0/s/vfs-containers/x/userdata\0-n\0web\0"
    let conmon = try #require(Conmon(commandLine: Array(line.utf8)))
    #expect(conmon.name == "web" && conmon.bundle == "/s/vfs-containers/x/userdata")
    #expect(!conmon.isOfExec)
    #expect(Conmon(commandLine: Array("\(line)-e\0--exec-attach\0--exec-process-spec\0/x\0".utf8))?.isOfExec == true)
    #expect(Conmon(commandLine: Array("/usr/bin/conmon\0-n".utf8))?.name == nil)
    #expect(Conmon(commandLine: Array("containerd-shim\0-n\0x\0".utf8)) == nil)
    #expect(Conmon(commandLine: []) == nil)
  }
}
