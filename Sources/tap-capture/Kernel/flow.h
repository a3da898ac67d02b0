// A flow's beginning and end: whether it is of interest, and how the reader is told of it.
#pragma once

#include "other_end.h"
#include "process_filters.h"
#include "wakeup.h"
#include <bpf/bpf_endian.h>

enum { VERDICT_NONE, VERDICT_KEEP, VERDICT_DISMISS };

static __always_inline bool is_tcp(const struct sock *sk) {
  __u16 family = sk->__sk_common.skc_family;
  __u16 protocol = sk->sk_protocol;
  return (family == AF_INET || family == AF_INET6) && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP);
}

static __always_inline bool is_stream(const struct sock *sk) { return is_tcp(sk) || is_unix_stream(sk); }

static __always_inline __u64 new_flow_id(void) { return __sync_fetch_and_add(&state.last_flow_id, 1) + 1; }

static __always_inline struct tap_listener_key listener_key(struct sock *sk) {
  return (struct tap_listener_key){
      .network_namespace = sk->__sk_common.skc_net.net->ns.inum,
      .port = sk->__sk_common.skc_num,
  };
}

// The role in a connection whose opening was not seen. An accepted socket begins as a copy of the listening one and keeps
// the length of its queue, also when the listener is gone; it is 0 only where somebody called listen(fd, 0). There, and
// for MPTCP, it is a guess: who listens on the local port is the server.
static __always_inline __u8 role_in_joined(struct sock *sk) {
  if (sk->sk_max_ack_backlog)
    return TAP_ROLE_SERVER;
  struct tap_listener_key listener = listener_key(sk);
  return bpf_map_lookup_elem(&listeners, &listener) ? TAP_ROLE_SERVER : TAP_ROLE_CLIENT;
}

// The flow of a socket of which nothing is known yet: a TCP connection that was open before the capture, or any unix
// socket, because no hook sees those open. Of these the census at the start finds the older ones.
static __noinline struct flow *join_flow(struct sock *sk) {
  struct flow *flow = bpf_sk_storage_get(&flows, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
  if (!flow)
    return 0;
  if (is_tcp(sk)) {
    flow->about.role = role_in_joined(sk);
    flow->about.is_joined = true;
  } else {
    flow->about.role = unix_role(sk);
    flow->about.is_joined = !state.is_census_done;
  }
  // Two threads may come here at once; the storage and its id are one.
  __sync_val_compare_and_swap(&flow->about.flow_id, 0, new_flow_id());
  return flow;
}

static __always_inline struct flow *flow_of(struct sock *sk) {
  struct flow *flow = bpf_sk_storage_get(&flows, sk, 0, 0);
  return flow ? flow : join_flow(sk);
}

static __always_inline bool port_is_wanted(__u16 port) {
  for (__u32 i = 0; i < TAP_FILTER_PORTS_MAX && i < settings.filter_port_count; i++)
    if (settings.filter_ports[i] == port)
      return true;
  return false;
}

static __always_inline bool is_loopback_address(__u32 address) { return bpf_ntohl(address) >> 24 == 127; }

// Whether the bytes stay on this machine: a unix socket, 127.0.0.0/8 (RFC 1122, 3.2.1.3), ::1 (RFC 4291, 2.5.3), or an address that
// talks to itself.
static __noinline bool is_on_loopback(struct sock *sk) {
  if (sk->__sk_common.skc_family == AF_UNIX)
    return true;
  if (sk->__sk_common.skc_family != AF_INET6)
    return is_loopback_address(sk->__sk_common.skc_daddr) || sk->__sk_common.skc_daddr == sk->__sk_common.skc_rcv_saddr;
  __u32 remote[4] = {}, local[4] = {};
  bpf_core_read(remote, sizeof(remote), &sk->__sk_common.skc_v6_daddr);
  bpf_core_read(local, sizeof(local), &sk->__sk_common.skc_v6_rcv_saddr);
  if (remote[2] == local[2] && remote[3] == local[3] && remote[0] == local[0] && remote[1] == local[1])
    return true;
  if (remote[0] || remote[1])
    return false;
  // ::ffff:127.0.0.0/104 is IPv4 in an IPv6 socket.
  return remote[2] ? remote[2] == bpf_htonl(0xffff) && is_loopback_address(remote[3]) : remote[3] == bpf_htonl(1);
}

static __noinline int judge_flow(struct sock *sk, struct flow *flow) {
  bool keep = true;
  if (settings.filter_role != TAP_ROLE_UNKNOWN && flow->about.role != settings.filter_role)
    keep = false;
  if (keep && settings.filter_port_count)
    keep = port_is_wanted(sk->__sk_common.skc_num) || port_is_wanted(__builtin_bswap16(sk->__sk_common.skc_dport));
  if (keep && settings.filter_loopback)
    keep = !is_on_loopback(sk);
  flow->filter_verdict = keep ? VERDICT_KEEP : VERDICT_DISMISS;
  return flow->filter_verdict;
}

// By port, direction and loopback: for the whole life of the flow.
static __always_inline bool flow_is_wanted(struct sock *sk, struct flow *flow) {
  if (settings.filter_role == TAP_ROLE_UNKNOWN && !settings.filter_port_count && !settings.filter_loopback)
    return true;
  int verdict = flow->filter_verdict;
  if (verdict == VERDICT_NONE)
    verdict = judge_flow(sk, flow);
  return verdict == VERDICT_KEEP;
}

// By process tree. The last verdict is kept with the flow, in one word because threads share it, until the set of
// processes changes or another process uses the flow.
static __always_inline bool flow_tree_is_wanted(struct flow *flow, __u32 tgid) {
  __u64 question = (__u64)tgid << 32 | (state.process_generation << 1);
  __u64 known = flow->process_verdict;
  if ((known & ~1ull) == question)
    return known & 1;
  bool wanted = process_is_wanted(tgid);
  flow->process_verdict = question | wanted;
  return wanted;
}

// By process, all filters together.
static __always_inline bool flow_process_is_wanted(struct flow *flow, struct task_struct *task) {
  return flow_tree_is_wanted(flow, task->tgid) && traits_are_wanted(task);
}

static __always_inline void describe_ip_ends(struct sock *sk, struct tap_flow_record *about) {
  about->local.port = sk->__sk_common.skc_num;
  about->remote.port = __builtin_bswap16(sk->__sk_common.skc_dport);
  if (sk->__sk_common.skc_family == AF_INET6) {
    about->family = TAP_FAMILY_IPV6;
    bpf_core_read(about->local.bytes, 16, &sk->__sk_common.skc_v6_rcv_saddr);
    bpf_core_read(about->remote.bytes, 16, &sk->__sk_common.skc_v6_daddr);
  } else {
    bpf_core_read(about->local.bytes, 4, &sk->__sk_common.skc_rcv_saddr);
    bpf_core_read(about->remote.bytes, 4, &sk->__sk_common.skc_daddr);
  }
}

// Whether a connection may be of interest at one end only.
static __always_inline bool is_one_end_enough(void) {
  return settings.filter_by_process || settings.filter_role != TAP_ROLE_UNKNOWN || settings.filter_comm_count ||
         settings.filter_program_count || settings.filter_user_count || settings.filter_cgroup_count ||
         settings.filter_by_container;
}

static __noinline int note_owner(struct flow *flow, struct task_struct *task) {
  struct tap_flow_record *about = &flow->about;
  about->process = process_key(task);
  if (settings.filter_by_container)
    about->cgroup_id = cgroup_id(task);
  bpf_core_read(about->comm, TAP_COMM_BYTES, &task->group_leader->comm);
  flow->has_owner = true;
  return 0;
}

// The flow is of interest from now on, and its owner known.
static __noinline int want_owned_flow(struct sock *sk, struct flow *flow) {
  if (is_unix_stream(sk))
    describe_unix_ends(sk, &flow->about);
  else if (!flow->is_established)
    describe_ip_ends(sk, &flow->about);
  name_ends(sk, &flow->about);
  if (is_one_end_enough() && flow->about.own_end) {
    __u8 present = 1;
    bpf_map_update_elem(&wanted_ends, &flow->about.own_end, &present, BPF_ANY);
  }
  flow->is_wanted = true;
  return 0;
}

// The flow is of interest from now on: `task` holds it.
static __always_inline void want_flow(struct sock *sk, struct flow *flow, struct task_struct *task) {
  note_owner(flow, task);
  want_owned_flow(sk, flow);
}

// Of several threads that lose something of one flow at once, each sees the sums of those before it.
#define KEEP_LOSS_TRIES_MAX 8

// The ring had no room for something of the flow. If no later record tells of it (the capture ends first, or a unix socket,
// whose end no hook sees), the totals that are kept here do. They may be older than the flow: the reader takes only what it
// does not know.
static __noinline int keep_loss(struct flow *flow) {
  if (flow->is_ended)
    return 0;
  volatile __u64 *moved = flow->about.moved;
  for (int i = 0; i < KEEP_LOSS_TRIES_MAX; i++) {
    __u64 sent = moved[TAP_SENT], received = moved[TAP_RECEIVED];
    long failed = flow->about.family == TAP_FAMILY_UNIX
                      ? bpf_map_update_elem(&unix_losses, &flow->about.flow_id, &flow->about, BPF_ANY)
                      : bpf_map_update_elem(&tcp_losses, &flow->about.flow_id, &flow->about, BPF_ANY);
    if (failed) {
      __sync_fetch_and_add(&state.losses.forgotten_ends, 1);
      return 0;
    }
    flow->has_kept_loss = true;
    if (moved[TAP_SENT] == sent && moved[TAP_RECEIVED] == received)
      return 0;
  }
  return 0;
}

// The flow's end tells everything.
static __always_inline void forget_loss(struct flow *flow) {
  if (!flow->has_kept_loss)
    return;
  if (flow->about.family == TAP_FAMILY_UNIX)
    bpf_map_delete_elem(&unix_losses, &flow->about.flow_id);
  else
    bpf_map_delete_elem(&tcp_losses, &flow->about.flow_id);
}

// Tells the reader of the flow and returns whether that succeeded. If not, nothing else of the flow may be recorded
// yet: the reader would not know what it belongs to. The next event tries again.
static __noinline int describe_flow(struct flow *flow, __u64 time_ns) {
  struct tap_flow_record *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
  if (!record) {
    keep_loss(flow);
    return 0;
  }
  *record = flow->about;
  record->kind = TAP_RECORD_FLOW;
  record->time_ns = time_ns;
  flow->is_described = true;
  bpf_ringbuf_submit(record, submit_flags(sizeof(*record)));
  return 1;
}

// More has moved over a dismissed flow. A processor has a sum of its own, so that none waits for another.
static __always_inline void note_dismissed(__u64 bytes) {
  __u32 processor = bpf_get_smp_processor_id();
  __sync_fetch_and_add(&state.dismissed_bytes[processor % TAP_PROCESSOR_SUMS].bytes, bytes);
}

// Tells the reader of the flow's end. The totals in it reveal what was lost at the end.
static __noinline int end_flow(struct flow *flow) {
  if (!flow->is_wanted || flow->is_ended)
    return 0;
  flow->is_ended = true;
  forget_loss(flow);
  flow->about.kind = TAP_RECORD_CLOSE;
  flow->about.time_ns = bpf_ktime_get_ns();
  struct tap_flow_record *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
  if (record) {
    *record = flow->about;
    bpf_ringbuf_submit(record, submit_flags(sizeof(*record)));
    return 0;
  }
  if (bpf_map_update_elem(&unreported_ends, &flow->about.flow_id, &flow->about, BPF_ANY))
    __sync_fetch_and_add(&state.losses.forgotten_ends, 1);
  // After the entry: whoever sees the count finds it.
  __sync_fetch_and_add(&state.losses.close_records, 1);
  return 0;
}
