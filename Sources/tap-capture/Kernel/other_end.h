// The two ends of a connection within this machine know of each other: each end gets a name that the other can tell, too.
//
// Of TCP these are the first sequence numbers of both directions, 64 bits that the kernel has chosen at random. Addresses
// would not do: they come again in every network namespace, and NAT makes other ones of them on the way.
#pragma once

#include "flow_storage.h"
#include "process.h"

// Where the streams begin, behind the SYN: the kernel keeps positions, and counts of the same bytes (RFC 4898; the SYN of
// the end that connects is counted as sent). A count may be changed while it is read: then the name is not known yet.
static __always_inline __u64 tcp_end_name(struct tcp_sock *tcp, __u8 role) {
  volatile struct tcp_sock *socket = tcp;
  __u32 received = socket->rcv_nxt - (__u32)socket->bytes_received;
  __u32 sent = socket->snd_una - (__u32)socket->bytes_acked;
  // Nothing has come from the other end: data in the SYN (TCP Fast Open) is sent before.
  if (!socket->rcv_nxt)
    return 0;
  if (socket->rcv_nxt - (__u32)socket->bytes_received != received ||
      socket->snd_una - (__u32)socket->bytes_acked != sent)
    return 0;
  if (role == TAP_ROLE_CLIENT)
    sent++;
  return (__u64)sent << 32 | received;
}

static __noinline int name_ends(struct sock *sk, struct tap_flow_record *about) {
  if (is_unix_stream(sk)) {
    struct unix_sock *unix_socket = bpf_skc_to_unix_sock(sk);
    struct sock *peer = unix_socket ? unix_socket->peer : 0;
    struct flow *other = peer ? bpf_sk_storage_get(&flows, peer, 0, 0) : 0;
    about->own_end = about->flow_id;
    if (!other)
      return 0;
    about->other_end = other->about.flow_id;
    if (!other->is_wanted)
      about->other_process = other->about.process;
    return 0;
  }
  if (sk->sk_protocol != IPPROTO_TCP)
    return 0;
  struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
  __u64 name = tcp ? tcp_end_name(tcp, about->role) : 0;
  about->own_end = name;
  about->other_end = name << 32 | name >> 32;
  return 0;
}

// Calls at which the other end is looked for. A server's is known with its first bytes, after the client's first call.
#define END_QUESTIONS_MAX 8

// The current task moves bytes over a flow that is of no interest. If its other end is, who it is is told of, once.
static __noinline int tell_of_other_end(struct sock *sk, struct flow *flow) {
  if (flow->end_questions >= END_QUESTIONS_MAX)
    return 0;
  flow->end_questions++;
  name_ends(sk, &flow->about);
  __u64 other_end = flow->about.other_end;
  struct task_struct *task = bpf_get_current_task_btf();
  // If the other end becomes of interest later: the reader of a unix socket can be faster than the writer's call returns.
  flow->about.process = process_key(task);
  if (!other_end || !bpf_map_lookup_elem(&wanted_ends, &other_end))
    return 0;
  struct tap_other_end_record *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
  if (!record)
    return 0;
  record->kind = TAP_RECORD_OTHER_END;
  record->reserved = 0;
  record->time_ns = bpf_ktime_get_ns();
  record->other_end = other_end;
  record->process = process_key(task);
  bpf_core_read(record->comm, TAP_COMM_BYTES, &task->group_leader->comm);
  flow->end_questions = END_QUESTIONS_MAX;
  bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
  return 0;
}
