// The connections that were open before the capture: found once, at its start, with the processes that hold them.
//
// Through the files of all tasks, so that every network namespace is covered and each connection comes with an owner.
#pragma once

#include "connections.h"

static __always_inline struct sock *socket_in(struct bpf_iter__task_file *context) {
  struct file *file = context->file;
  if (!context->task || !file)
    return 0;
  struct socket *socket = bpf_sock_from_file(file);
  return socket ? socket->sk : 0;
}

// First of all: the roles of some connections depend on it.
SEC("iter/task_file")
int find_listeners(struct bpf_iter__task_file *context) {
  struct sock *sk = socket_in(context);
  if (sk && is_tcp(sk) && sk->__sk_common.skc_state == TCP_LISTEN)
    note_listener(sk);
  return 0;
}

// A unix socket that is connected is in the state ESTABLISHED, and so is a TCP connection until one end closes it.
static __always_inline bool is_open(struct sock *sk) {
  __u8 connection_state = sk->__sk_common.skc_state;
  return connection_state != TCP_CLOSE && connection_state != TCP_LISTEN && connection_state != TCP_SYN_SENT &&
         is_stream(sk);
}

// Where a control group is asked for, connections are described with their first bytes: only then the task runs, and only
// of the task that runs the group can be told. So it is with containers, of which nothing is known yet.
static __always_inline bool holder_is_wanted(struct task_struct *task) {
  return !settings.filter_cgroup_count && !settings.filter_by_container && process_is_wanted(task->tgid) && traits_are_wanted(task);
}

SEC("iter/task_file")
int find_connections(struct bpf_iter__task_file *context) {
  struct sock *sk = socket_in(context);
  struct task_struct *task = context->task;
  if (!sk || !task || !is_open(sk))
    return 0;
  struct flow *flow = flow_of(sk);
  // From here on, also if the next bytes are spliced away.
  struct tcp_sock *tcp = plain_tcp(sk);
  if (flow && tcp && !flow->sequence_is_known)
    begin_sequence(flow, tcp, 0);
  if (!flow || flow->is_wanted || !flow_is_wanted(sk, flow) || !holder_is_wanted(task))
    return 0;
  want_flow(sk, flow, task);
  describe_flow(flow, bpf_ktime_get_ns());
  return 0;
}

// While the capture runs: the ids of the unix flows that are still there. The ends of the others are known from that. (An
// iterator over the storage itself would be simpler; the policies of some machines refuse all that walk through a map.)
static __always_inline void list_unix_flow(struct seq_file *list, struct sock *sk) {
  if (!is_unix_stream(sk) || is_unix_closed(sk))
    return;
  struct flow *flow = bpf_sk_storage_get(&flows, sk, 0, 0);
  if (!flow || !flow->is_wanted)
    return;
  __u64 id = flow->about.flow_id;
  bpf_seq_write(list, &id, sizeof(id));
}

// All of tap-capture's own network namespace, also those that no process has open while they are passed on.
SEC("iter/unix")
int list_unix_sockets(struct bpf_iter__unix *context) {
  struct sock *sk = (struct sock *)context->unix_sk;
  if (sk)
    list_unix_flow(context->meta->seq, sk);
  return 0;
}

// Those of every namespace that some process has open, and their other ends: one of these may be just being passed on.
SEC("iter/task_file")
int list_open_unix_sockets(struct bpf_iter__task_file *context) {
  struct sock *sk = socket_in(context);
  struct unix_sock *unix_socket = sk && is_unix_stream(sk) ? bpf_skc_to_unix_sock(sk) : 0;
  if (!unix_socket)
    return 0;
  list_unix_flow(context->meta->seq, sk);
  struct sock *peer = unix_socket->peer;
  if (peer)
    list_unix_flow(context->meta->seq, peer);
  return 0;
}
