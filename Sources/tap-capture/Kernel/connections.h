// The life of connections, whatever the engine: openings tell the role, ends tell the totals.
#pragma once

#include "unseen.h"
#include <bpf/bpf_tracing.h>

static __always_inline void open_flow(struct sock *sk, __u8 role) {
  struct flow *flow = bpf_sk_storage_get(&flows, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
  if (!flow)
    return;
  // A socket can be disconnected and connected anew (connect with AF_UNSPEC): that is another flow.
  if (flow->about.flow_id) {
    end_flow(flow);
    count_dismissed(flow);
    __builtin_memset(flow, 0, sizeof(*flow));
  }
  flow->about.role = role;
  flow->about.flow_id = new_flow_id();
}

static __always_inline void note_listener(struct sock *sk) {
  struct tap_listener_key listener = listener_key(sk);
  __u8 present = 1;
  bpf_map_update_elem(&listeners, &listener, &present, BPF_ANY);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(socket_changed_state, struct sock *sk, int old_state, int new_state) {
  if (!is_tcp(sk))
    return 0;
  if (new_state == TCP_SYN_SENT) {
    open_flow(sk, TAP_ROLE_CLIENT);
  } else if (old_state == TCP_LISTEN && new_state != TCP_CLOSE) {
    // The socket of an accepted connection begins as a copy of the listening one.
    open_flow(sk, TAP_ROLE_SERVER);
  } else if (new_state == TCP_LISTEN) {
    note_listener(sk);
  } else if (new_state == TCP_ESTABLISHED) {
    // No byte of the stream has been received yet.
    struct flow *flow = bpf_sk_storage_get(&flows, sk, 0, 0);
    struct tcp_sock *tcp = plain_tcp(sk);
    if (flow && tcp)
      begin_sequence(flow, tcp, 0);
  } else if (new_state == TCP_CLOSE && sk->sk_protocol == IPPROTO_MPTCP) {
    // These do not pass tcp_destroy_sock.
    struct flow *flow = bpf_sk_storage_get(&flows, sk, 0, 0);
    if (flow) {
      end_flow(flow);
      count_dismissed(flow);
    }
  }
  return 0;
}

// Not at the state CLOSE: bytes that have arrived can still be read then.
SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(socket_destroyed, struct sock *sk) {
  struct flow *flow = bpf_sk_storage_get(&flows, sk, 0, 0);
  if (!flow)
    return 0;
  if (flow->is_dismissed) {
    count_dismissed(flow);
  } else if (flow->is_wanted && !flow->is_ended) {
    book_unseen_at_end(sk, flow);
    end_flow(flow);
  }
  return 0;
}

// At the end of the capture: the totals of the flows that are still open, through the iterator's descriptor.
SEC("iter/bpf_sk_storage_map")
int report_open_flows(struct bpf_iter__bpf_sk_storage_map *context) {
  struct flow *flow = context->value;
  if (flow && flow->is_dismissed)
    count_dismissed(flow);
  struct sock *sk = context->sk;
  if (!flow || !sk || !flow->is_wanted || flow->is_ended || (is_unix_stream(sk) && is_unix_closed(sk)))
    return 0;
  bpf_seq_write(context->meta->seq, &flow->about, sizeof(flow->about));
  return 0;
}
