// The life of connections, whatever the engine: openings tell the role, ends tell the totals.
#pragma once

#include "unseen.h"
#include <bpf/bpf_tracing.h>

// include/uapi/asm-generic/errno.h
#define EPIPE 32
#define ECONNABORTED 103
#define ECONNRESET 104

static __always_inline struct flow *open_flow(struct sock *sk, __u8 role) {
  struct flow *flow = bpf_sk_storage_get(&flows, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
  if (!flow)
    return 0;
  // A socket can be disconnected and connected anew (connect with AF_UNSPEC): that is another flow.
  if (flow->about.flow_id) {
    end_flow(flow);
    __builtin_memset(flow, 0, sizeof(*flow));
  }
  flow->about.role = role;
  flow->about.opened_ns = bpf_ktime_get_ns();
  flow->about.flow_id = new_flow_id();
  return flow;
}

// The current task has the connection, and no byte of it has moved yet. Where the first bytes are to decide whether it
// is of interest, nothing is said before them. (The filters that judge the socket wait: its port may not be chosen yet.)
static __noinline int adopt_flow(struct flow *flow) {
  struct task_struct *task = bpf_get_current_task_btf();
  if (!settings.filter_protocols && flow_process_is_wanted(flow, task))
    note_owner(flow, task);
  return 0;
}

// Tells of a connection that has an owner before anything moves, so that one over which nothing ever does is seen too.
static __noinline int announce_flow(struct sock *sk, struct flow *flow) {
  if (flow->has_owner && !flow->is_wanted) {
    want_owned_flow(sk, flow);
    describe_flow(flow, bpf_ktime_get_ns());
  }
  return 0;
}

static __always_inline void establish_flow(struct sock *sk) {
  struct flow *flow = bpf_sk_storage_get(&flows, sk, 0, 0);
  if (!flow)
    return;
  struct tcp_sock *tcp = plain_tcp(sk);
  // No byte of the stream has been received yet.
  if (tcp)
    begin_sequence(flow, tcp, 0);
  // The subflows of MPTCP are no connections of their own, and its socket has no addresses yet: it is told of with its
  // first bytes.
  if (tcp && flow_is_wanted(sk, flow)) {
    // Now: a socket has lost its port by the time of its end.
    describe_ip_ends(sk, &flow->about);
    flow->is_established = true;
    announce_flow(sk, flow);
  }
}

// The current task closes or shuts down a connection. One that it accepted and never used has no owner yet: accept passes
// no hook.
static __always_inline void leave_flow(struct sock *sk, struct flow *flow) {
  if (flow->is_established && !flow->is_wanted && !flow->is_left) {
    flow->is_left = true;
    adopt_flow(flow);
    announce_flow(sk, flow);
  }
}

// Without an error, a connection goes to CLOSE directly only where the process threw it away (unread bytes, SO_LINGER).
static __always_inline bool is_thrown_away(struct sock *sk, int old_state) {
  return !sk->sk_err && (old_state == TCP_ESTABLISHED || old_state == TCP_CLOSE_WAIT);
}

// These changes are made by the system call itself, unlike those that a packet brings.
static __always_inline bool is_left(struct sock *sk, int old_state, int new_state) {
  return new_state == TCP_FIN_WAIT1 || new_state == TCP_LAST_ACK ||
         (new_state == TCP_CLOSE && is_thrown_away(sk, old_state));
}

static __always_inline void note_end(struct sock *sk, struct flow *flow, int old_state) {
  int error = sk->sk_err;
  if (error == ECONNRESET || error == EPIPE || error == ECONNABORTED || is_thrown_away(sk, old_state))
    flow->about.end_reason = TAP_END_RESET;
  else if (error)
    flow->about.end_reason = TAP_END_TIMED_OUT;
  if (sk->sk_protocol == IPPROTO_MPTCP && !sk->sk_socket) {
    // These do not pass tcp_destroy_sock. While the process has it open, what has arrived can still be read (begin_transfer).
    end_flow(flow);
  }
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
    struct flow *flow = open_flow(sk, TAP_ROLE_CLIENT);
    if (flow)
      adopt_flow(flow);
  } else if (old_state == TCP_LISTEN && new_state != TCP_CLOSE) {
    // The socket of an accepted connection begins as a copy of the listening one.
    open_flow(sk, TAP_ROLE_SERVER);
  } else if (new_state == TCP_LISTEN) {
    note_listener(sk);
  } else if (new_state == TCP_ESTABLISHED) {
    establish_flow(sk);
  } else {
    struct flow *flow = bpf_sk_storage_get(&flows, sk, 0, 0);
    if (!flow)
      return 0;
    if (is_left(sk, old_state, new_state))
      leave_flow(sk, flow);
    if (new_state == TCP_CLOSE)
      note_end(sk, flow, old_state);
  }
  return 0;
}

// Not at the state CLOSE: bytes that have arrived can still be read then.
SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(socket_destroyed, struct sock *sk) {
  struct flow *flow = bpf_sk_storage_get(&flows, sk, 0, 0);
  if (!flow)
    return 0;
  // Reset by the other side; now closed, and never used. After any other end the process has left it before.
  leave_flow(sk, flow);
  if (flow->is_wanted && !flow->is_ended) {
    book_unseen_at_end(sk, flow);
    end_flow(flow);
  }
  return 0;
}
