// What replies tell of the connection: its mode, its database, its names.
import TapWire

extension RedisFlow {
  /// What a reply tells of the connection.
  func follow(
    _ effect: CommandTraits.Effect, _ request: UnsafeRawBufferPointer, _ response: UnsafeRawBufferPointer,
    isError: Bool, _ flags: ExchangeFlags
  ) {
    if ConnectionState.isSet(by: effect, request) {
      // What may be another command's reply says nothing, nor does a request that is not whole.
      if !isVouched || !flags.isDisjoint(with: [.unvouched, .gap, .cut]) {
        state.forget()
      } else if !isError {
        state.follow(effect, request)
      }
    }
    guard !isError else { return }
    switch effect {
    case .monitor:
      isMonitoring = Subscriptions.isSimpleString("OK", response)
    case .reset:
      isMonitoring = false
      subscriptions = Subscriptions()
      if !isVouched { subscriptions.forgetCounts() }
    case .hello:
      subscriptions.usesPushes = Subscriptions.isMap(response)
    default:
      break
    }
  }

  /// Something may have changed the state of the connection that nobody saw.
  func forgetState(into output: inout Output) {
    state.forget()
    if state.isChanged { tellState(into: &output) }
  }

  /// The exchanges that follow are made in another state of the connection.
  func tellState(into output: inout Output) {
    state.isChanged = false
    toldDatabase = state.database
    let map = state.encoded(hidingNames: context.hidesNames)
    ConnectionFrame(flow: id, state: map.bytes).append(to: &output.buffer)
    output.endRecord()
  }
}
