// The simplest stage: what a decoder does with everything that it does not claim.

/// Forwards every frame unchanged.
public struct PassThrough: Stage {
  public init() {}

  public mutating func receive(_ frame: Frame, into output: inout Output) throws(WireError) { output.forward(frame) }
  public mutating func endScope(into output: inout Output) {}
}
