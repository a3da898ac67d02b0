// Which protocol a connection speaks, by the first bytes of either direction, so that a flow of another one stops costing.
//
// Dismissed is only what cannot be a protocol that is asked for: `GET x` may be Redis' inline form, HTTP or memcached, POP3's
// `+OK` looks like RESP. What stays possible is kept. A flow whose opening was not seen is never dismissed.
#pragma once

#include "transfer.h"

// Bytes of a first write in which the version of an HTTP/1 request is looked for.
#define REQUEST_LINE_BYTES 128

static __always_inline bool is_digit(__u8 byte) { return byte >= '0' && byte <= '9'; }
static __always_inline bool is_letter(__u8 byte) { return (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z'; }

// isspace(3) of the C locale: what Redis skips in front of an inline command.
static __always_inline bool is_blank(__u8 byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

// The connection preface of HTTP/2 (RFC 9113, 3.4) up to its version; no other protocol and no Redis command has it.
static __always_inline bool is_http2_preface(const __u8 *bytes, __u32 length) {
  static const char preface[] = "PRI * HTTP/2";
  if (length < sizeof(preface) - 1)
    return false;
  for (__u32 i = 0; i < sizeof(preface) - 1; i++)
    if (bytes[i] != (__u8)preface[i])
      return false;
  return true;
}

// Protocols that a client's first bytes leave possible. At least one byte is there.
static __always_inline __u8 protocols_of_request(const __u8 *bytes, __u32 length) {
  __u8 first = bytes[0];
  // RESP: an array of bulk strings (https://redis.io/docs/latest/develop/reference/protocol-spec/).
  if (first == '*' && length > 1 && is_digit(bytes[1]))
    return TAP_PROTOCOL_REDIS;
  if (is_http2_preface(bytes, length))
    return TAP_PROTOCOL_HTTP;
  // Empty lines in front are skipped by both (RFC 9112, 2.2).
  if (is_blank(first))
    return TAP_PROTOCOL_REDIS | TAP_PROTOCOL_HTTP | TAP_PROTOCOL_OTHER;
  // Binary: TLS, PostgreSQL, AMQP's and MQTT's lengths. Neither a command's name nor a method begins like that.
  if (first < ' ' || first >= 0x7f)
    return TAP_PROTOCOL_OTHER;
  // A method is a token (RFC 9110, 5.6.2): no quotation marks or brackets. An inline command may be quoted.
  bool may_be_method = is_letter(first) || is_digit(first) || first == '*' || first == '-' || first == '_';
  return TAP_PROTOCOL_REDIS | TAP_PROTOCOL_OTHER | (may_be_method ? TAP_PROTOCOL_HTTP : 0);
}

// Whether `second` may follow the type byte `first` of a RESP reply.
static __always_inline bool may_be_resp(__u8 first, __u8 second) {
  switch (first) {
  case '+':
  case '-':
    return second >= ' ' || second == '\r';
  case '#':
    return second == 't' || second == 'f';
  case '_':
    return second == '\r';
  case ',':
    return is_digit(second) || is_letter(second) || second == '-' || second == '+';
  case ':':
  case '(':
    return is_digit(second) || second == '-' || second == '+';
  case '$':
  case '*':
  case '%':
  case '~':
  case '>':
  case '|':
  case '!':
  case '=':
    return is_digit(second) || second == '-' || second == '?';
  default:
    return false;
  }
}

// A SETTINGS frame, the first one of an HTTP/2 server (RFC 9113, 3.4 and 6.5): length, type 4, no flags, stream 0.
static __always_inline bool may_be_settings_frame(const __u8 *bytes, __u32 length) {
  if (bytes[0] || (length > 1 && bytes[1]))
    return false;
  if (length > 3 && bytes[3] != 4)
    return false;
  for (__u32 i = 4; i < 9; i++)
    if (length > i && bytes[i])
      return false;
  return true;
}

// Protocols that a server's first bytes leave possible. At least one byte is there.
static __always_inline __u8 protocols_of_reply(const __u8 *bytes, __u32 length) {
  static const char version[] = "HTTP/";
  __u32 agreeing = 0;
  while (agreeing < sizeof(version) - 1 && agreeing < length && bytes[agreeing] == (__u8)version[agreeing])
    agreeing++;
  if (agreeing == sizeof(version) - 1)
    return TAP_PROTOCOL_HTTP;
  __u8 possible = TAP_PROTOCOL_OTHER;
  if (agreeing == length || may_be_settings_frame(bytes, length))
    possible |= TAP_PROTOCOL_HTTP;
  // With a second byte of the kind that any type allows where there is none yet.
  if (may_be_resp(bytes[0], length > 1 ? bytes[1] : bytes[0] == '_' ? '\r' : bytes[0] == '#' ? 't' : '1'))
    possible |= TAP_PROTOCOL_REDIS;
  return possible;
}

// Pieces of a transfer, empty ones, that are stepped over to find its first bytes.
#define EMPTY_PIECES_MAX 4

// Where a transfer begins in user memory.
static __always_inline struct user_iovec first_piece(const struct transfer *transfer) {
  struct user_iovec piece = {transfer->piece_address, transfer->piece_length};
  __u64 next = transfer->iovecs;
  for (__u32 i = 0; i <= EMPTY_PIECES_MAX && !piece.length && i < transfer->iovec_count; i++) {
    if (read_memory(&piece, sizeof(piece), next, transfer->iovecs_are_in_kernel))
      piece.length = 0;
    next += sizeof(piece);
  }
  if (piece.length > transfer->remaining)
    piece.length = transfer->remaining;
  return piece;
}

// Whether ` HTTP/1.` stands in the first line of what is being sent: that ends a request line (RFC 9112, 3). A global
// function, like record_bytes: Linux 6.1 would check its loop again on each of too many paths.
__noinline int has_http1_version(struct transfer *transfer) {
  if (!transfer)
    return false;
  __u8 line[REQUEST_LINE_BYTES];
  struct user_iovec piece = first_piece(transfer);
  __u32 length = piece.length < sizeof(line) ? piece.length : sizeof(line);
  if (read_memory(line, length, piece.base, transfer->pieces_are_in_kernel))
    return false;
  const __u64 version = 0x20485454502f312e;  // " HTTP/1."
  __u64 last_eight = 0;
  for (__u32 i = 0; i < sizeof(line) && i < length; i++) {
    if (line[i] == '\n')
      return false;
    last_eight = last_eight << 8 | line[i];
    if (last_eight == version)
      return true;
  }
  return false;
}

// Appends the beginning of a transfer to what is kept of its direction. Only the first piece of several is looked at.
static __noinline int extend_opening(struct flow *flow, const struct transfer *transfer) {
  __u32 direction = transfer->direction & 1;
  __u32 known = flow->opening_length[direction];
  struct user_iovec piece = first_piece(transfer);
  __u32 length = piece.length < OPENING_BYTES ? piece.length : OPENING_BYTES;
  __u8 bytes[OPENING_BYTES];
  if (!length || read_memory(bytes, length, piece.base, transfer->pieces_are_in_kernel))
    return 0;
  for (__u32 i = 0; i < OPENING_BYTES && i < length; i++) {
    __u32 index = known + i;
    if (index >= OPENING_BYTES)
      break;
    // For the verifier, which does not follow the sum.
    barrier_var(index);
    flow->opening[direction][index & (OPENING_BYTES - 1)] = bytes[i];
  }
  known += length;
  flow->opening_length[direction] = known < OPENING_BYTES ? known : OPENING_BYTES;
  return 1;
}

// Looks at a transfer whose bytes can be read (`is_readable`) or not. Returns whether the flow is of no interest. Global for
// the same reason.
__noinline int speaks_another_protocol(struct flow *flow, struct transfer *transfer, __u32 is_readable) {
  if (!flow || !transfer)
    return false;
  if (flow->about.is_joined || flow->about.role == TAP_ROLE_UNKNOWN) {
    flow->protocol_is_settled = true;
    return false;
  }
  __u32 direction = transfer->direction & 1;
  __u32 known = flow->opening_length[direction];
  // Behind bytes that could not be looked at, or when enough is known, a direction has nothing more to say.
  if (!is_readable || transfer->offset != known || known >= OPENING_BYTES || !extend_opening(flow, transfer)) {
    flow->opening_length[direction] = OPENING_BYTES;
    if (flow->opening_length[!direction] >= OPENING_BYTES)
      flow->protocol_is_settled = true;
    return false;
  }
  const __u8 *bytes = flow->opening[direction];
  __u32 length = flow->opening_length[direction];
  bool is_request = direction == (flow->about.role == TAP_ROLE_CLIENT ? TAP_SENT : TAP_RECEIVED);
  __u8 possible = is_request ? protocols_of_request(bytes, length) : protocols_of_reply(bytes, length);
  if (is_request && !known && is_letter(bytes[0]) && possible & TAP_PROTOCOL_HTTP && has_http1_version(transfer))
    possible = TAP_PROTOCOL_HTTP;
  if (flow->protocols)
    possible &= flow->protocols;
  flow->protocols = possible;
  if (!(possible & ~settings.filter_protocols))
    flow->protocol_is_settled = possible != 0;
  return !(possible & settings.filter_protocols);
}

// Nothing more of the flow is recorded; of its bytes, from these `moved` on, only the number is kept.
static __noinline int dismiss_flow(struct flow *flow, __u32 direction, __u64 moved) {
  flow->is_dismissed = true;
  flow->about.is_dismissed = true;
  __sync_fetch_and_add(&flow->about.moved[direction & 1], -moved);
  note_dismissed(moved);
  // Its end is told here; no other is to come from there.
  forget_loss(flow);
  __sync_fetch_and_add(&state.dismissed.flows, 1);
  // The record layer of TLS: a handshake of version 3.x (RFC 8446, 5.1).
  __u8 *request = flow->opening[flow->about.role == TAP_ROLE_CLIENT ? TAP_SENT : TAP_RECEIVED];
  if (request[0] == 0x16 && request[1] == 3)
    __sync_fetch_and_add(&state.dismissed.tls_flows, 1);
  if (flow->about.moved[TAP_SENT] || flow->about.moved[TAP_RECEIVED])
    end_flow(flow);  // bytes of it have been recorded while it was undecided, or lost
  flow->is_ended = true;
  return 0;
}
