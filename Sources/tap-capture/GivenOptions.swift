// Which options a command line gave: what is only for live captures is refused beside --read, however many there are.
import ArgumentParser

extension ParsableArguments {
  /// The first option whose value is not its default, in words with dashes; nil if none was given besides `allowed`.
  func firstGivenOption(besides allowed: String? = nil) throws -> String? {
    GivenOptions.all(in: self, unlike: try Self.parse([])).first { $0 != allowed }
  }
}

private enum GivenOptions {
  /// Property wrappers of ArgumentParser describe themselves by their values, and are named `_` and the property.
  static func all(in options: some ParsableArguments, unlike defaults: some ParsableArguments) -> [String] {
    zip(Mirror(reflecting: options).children, Mirror(reflecting: defaults).children).flatMap { option, standard in
      if let group = wrapped(option.value), let standardGroup = wrapped(standard.value) {
        return all(in: group, unlike: standardGroup)
      }
      guard String(describing: option.value) != String(describing: standard.value), let label = option.label else {
        return []
      }
      return [label.drop { $0 == "_" }.map { $0.isUppercase ? "-\($0.lowercased())" : "\($0)" }.joined()]
    }
  }

  private static func wrapped(_ value: Any) -> (any ParsableArguments)? {
    (value as? any AnyOptionGroup)?.options
  }
}

private protocol AnyOptionGroup {
  var options: any ParsableArguments { get }
}

extension OptionGroup: AnyOptionGroup {
  fileprivate var options: any ParsableArguments { wrappedValue }
}
