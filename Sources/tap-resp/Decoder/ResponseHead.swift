// How the response map of each type begins, laid out once, so that writing it is one copy.

/// The beginnings of response maps: `"response_type": …, "response_value":`.
///
/// The head of a CBOR text shorter than 24 bytes is 0x60 + its length, which is a letter: m is 13, n is 14.
enum ResponseHead {
  static let simpleString: StaticString = "mresponse_typemsimple_stringnresponse_value"
  static let error: StaticString = "mresponse_typeeerrornresponse_value"
  static let integer: StaticString = "mresponse_typegintegernresponse_value"
  static let bulkString: StaticString = "mresponse_typekbulk_stringnresponse_value"
  static let array: StaticString = "mresponse_typeearraynresponse_value"
  static let null: StaticString = "mresponse_typednullnresponse_value"
  static let boolean: StaticString = "mresponse_typegbooleannresponse_value"
  static let double: StaticString = "mresponse_typefdoublenresponse_value"
  static let bigNumber: StaticString = "mresponse_typejbig_numbernresponse_value"
  static let bulkError: StaticString = "mresponse_typejbulk_errornresponse_value"
  static let verbatimString: StaticString = "mresponse_typeoverbatim_stringnresponse_value"
  static let map: StaticString = "mresponse_typecmapnresponse_value"
  static let set: StaticString = "mresponse_typecsetnresponse_value"
  static let push: StaticString = "mresponse_typedpushnresponse_value"
  static let snapshot: StaticString = "mresponse_typecrdbnresponse_value"
}
