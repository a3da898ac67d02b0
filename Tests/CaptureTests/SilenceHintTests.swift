// The hint when a capture sees nothing: one cause, the most likely one.
import CaptureRecords
import Testing

@testable import tap_capture

@Suite struct SilenceHintTests {
  private func hint(
    after look: (inout SilentMachine) -> Void = { _ in }, _ change: (inout ResolvedFilters) throws -> Void
  ) rethrows -> String {
    var filters = ResolvedFilters()
    try change(&filters)
    var machine = SilentMachine()
    machine.processes = [
      .init(pid: 7, comm: Array("redis-server".utf8), uid: 100), .init(pid: 8, comm: Array("bash".utf8), uid: 0),
    ]
    machine.listeningPorts = [6379]
    machine.connectedPorts = [40000, 443]
    look(&machine)
    return SilenceHint.find(filters, machine).text
  }

  @Test func whatWasDismissedComesFirst() {
    func dismissed(_ machine: inout SilentMachine) { machine.dismissed.flows = 5 }
    func encrypted(_ machine: inout SilentMachine) { machine.dismissed = .init(flows: 5, tlsFlows: 2, bytes: 99) }
    let text = hint(after: encrypted) {
      $0.protocols = [.redis]
      $0.ports = [7000]
    }
    #expect(text.hasPrefix("2 connections begin with TLS"))
    #expect(
      hint(after: dismissed) { $0.protocols = [.redis, .http] }
        == "5 connections were left out because their first bytes are not those of redis or http")
  }

  @Test func processesThatAreNotThere() {
    #expect(
      hint { $0.comms = [ProcessName(bytes: Array("redis".utf8))] }
        == "no process has the name redis; there is redis-server")
    #expect(hint { $0.comms = [ProcessName(bytes: Array("nginx".utf8))] } == "no process has the name nginx")
    #expect(hint { $0.users = [33] } == "no process runs as the user chosen with --uid")
    #expect(
      hint {
        $0.comms = [ProcessName(bytes: Array("bash".utf8))]
        $0.users = [100]
      } == "each filter matches some process, but no process matches all of them")
    func ended(_ machine: inout SilentMachine) {
      for index in machine.processes.indices { machine.processes[index].isInTree = false }
    }
    #expect(
      hint(after: ended) { $0.processes = [9] }
        == "every process chosen with --pid has ended")
  }

  @Test func aProgramThatWasReplaced() throws {
    func upgraded(_ machine: inout SilentMachine) {
      for index in machine.processes.indices { machine.processes[index].isProgram = false }
      machine.processes[0].exe = Array("/bin/sh (deleted)".utf8)
    }
    let text = try hint(after: upgraded) { $0.programs = [try ProgramFile(path: "/bin/sh")] }
    #expect(text == "process 7 runs a file that /bin/sh has replaced since")
  }

  @Test func ports() {
    #expect(hint { $0.ports = [7000] } == "nobody on this machine uses port 7000 now")
    #expect(hint { $0.ports = [6379, 7000] } == "somebody listens on port 6379, 7000, but nobody is connected to it")
    #expect(
      hint {
        $0.ports = [443]
        $0.direction = .ingress
      } == "port 443 is another machine's: --direction ingress leaves out its clients here")
    #expect(hint { $0.ports = [443] } == "there are connections over port 443, but none has moved a byte")
  }

  @Test func nothingSpecial() {
    #expect(hint { _ in } == "no byte has moved over a connection that the filters choose")
  }

  @Test func socketTables() {
    let table = """
        sl  local_address rem_address   st tx_queue rx_queue
         0: 0100007F:18EB 00000000:0000 0A 00000000:00000000
         1: 0100007F:9C40 0100007F:18EB 01 00000000:00000000
      """
    #expect(
      SocketLine.lines(parsing: Array(table.utf8)) == [
        SocketLine(localPort: 6379, remotePort: 0, isListening: true),
        SocketLine(localPort: 40000, remotePort: 6379, isListening: false),
      ])
    let six = " 0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0"
    #expect(SocketLine.lines(parsing: Array(six.utf8)) == [SocketLine(localPort: 80, remotePort: 0, isListening: true)])
    #expect(SocketLine.lines(parsing: []) == [])
  }
}
