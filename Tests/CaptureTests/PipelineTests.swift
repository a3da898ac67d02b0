// Who is downstream of our own output.
import Testing

@testable import tap_capture

@Suite struct PipelineTests {
  /// `tap-capture (10) | a (11) | b (12)`, and a stranger (20) with a pipe to another one (21).
  private let ends = [
    PipeEnd(pid: 10, inode: 100, isReadable: false, isWritable: true),
    PipeEnd(pid: 11, inode: 100, isReadable: true, isWritable: false),
    PipeEnd(pid: 11, inode: 101, isReadable: false, isWritable: true),
    PipeEnd(pid: 12, inode: 101, isReadable: true, isWritable: false),
    PipeEnd(pid: 20, inode: 200, isReadable: false, isWritable: true),
    PipeEnd(pid: 21, inode: 200, isReadable: true, isWritable: false),
  ]

  @Test func stageByStage() {
    var pipeline = Pipeline(pipes: [100])
    #expect(pipeline.stages(among: ends) == [11, 12])
    #expect(pipeline.pipes == [100, 101])
  }

  @Test func whoeverOnlyWritesIntoItIsNoStage() {
    var pipeline = Pipeline(pipes: [100])
    let upstream = ends + [PipeEnd(pid: 9, inode: 101, isReadable: false, isWritable: true)]
    #expect(!pipeline.stages(among: upstream).contains(9))
    #expect(!pipeline.stages(among: upstream).contains(10))
  }

  @Test func aStageThatComesLater() {
    var pipeline = Pipeline(pipes: [100])
    #expect(pipeline.stages(among: ends.filter { $0.pid != 12 }) == [11])
    #expect(pipeline.stages(among: ends.filter { $0.pid == 12 }) == [12])
  }

  @Test func aCircleOfPipesEnds() {
    var pipeline = Pipeline(pipes: [1])
    let circle = [
      PipeEnd(pid: 5, inode: 1, isReadable: true, isWritable: false),
      PipeEnd(pid: 5, inode: 1, isReadable: false, isWritable: true),
    ]
    #expect(pipeline.stages(among: circle) == [5])
  }

  @Test func noPipeNoStages() {
    var pipeline = Pipeline(pipes: [])
    #expect(pipeline.stages(among: ends).isEmpty)
  }
}
