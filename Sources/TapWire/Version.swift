// One version for the whole toolkit: the stages are released together.

/// The version that `--version` and hello frames show.
public let tapVersion = "0.1.0"
