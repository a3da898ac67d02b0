// A socket has moved bytes: what each engine does before it knows where they are in memory, and after.
#pragma once

#include "protocol.h"
#include "transfer.h"
#include "unseen.h"

// include/linux/socket.h
#define MSG_OOB 0x1
#define MSG_PEEK 0x2
#define MSG_TRUNC 0x20
#define MSG_ERRQUEUE 0x2000

static __always_inline void tell_of_transfer(struct transfer_steps *steps, enum tap_gap_cause cause) {
  struct transfer *transfer = &steps->transfer;
  struct flow *flow = steps->flow;
  if (!flow->is_described && !describe_flow(flow, transfer->time_ns)) {
    count_loss(transfer, flow, transfer->remaining);
    return;
  }
  if (steps->unseen)
    record_gap(transfer, flow, steps->unseen, TAP_CAUSE_UNSEEN);
  if (cause == TAP_CAUSE_NONE)
    record_transfer(steps);
  else
    record_gap(transfer, flow, transfer->remaining, cause);
}

// Records the bytes, which the engine has found in memory, or a gap if it could not (`cause`).
static __always_inline void finish_transfer(struct transfer_steps *steps, enum tap_gap_cause cause) {
  struct transfer *transfer = &steps->transfer;
  struct flow *flow = steps->flow;
  if (settings.filter_protocols && !flow->protocol_is_settled &&
      speaks_another_protocol(flow, transfer, cause == TAP_CAUSE_NONE && !steps->unseen)) {
    dismiss_flow(flow, transfer->direction, transfer->remaining);
    return;
  }
  tell_of_transfer(steps, cause);
  // Not where the loss is counted: before Linux 6.2 a map takes no value from a global function's argument.
  if (flow->lost[transfer->direction & 1])
    keep_loss(flow);
}

// The state CLOSE came while the process had the socket open (note_end).
static __always_inline bool is_read_to_end_of_mptcp(struct sock *sk) {
  return sk->sk_protocol == IPPROTO_MPTCP && sk->__sk_common.skc_state == TCP_CLOSE;
}

// What goes into a unix socket of no interest tells what comes out of the other end (unseen_by_unix_socket).
static __always_inline void count_for_other_end(struct sock *sk, struct flow *flow, int direction, __u32 length) {
  if (is_unix_stream(sk) && direction == TAP_SENT)
    __sync_fetch_and_add(&flow->about.moved[TAP_SENT], (__u64)length);
}

// Enters the bytes into the books of their flow. Returns whether they are of interest: then `steps` is ready for
// finish_transfer.
static __always_inline bool begin_transfer(struct transfer_steps *steps, struct sock *sk, int result, int direction,
                                           int message_flags) {
  // An error; and what is peeked at, or comes from the error queue, does not leave the stream.
  // Urgent data is outside of the stream.
  if (result < 0 || message_flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB) || !is_stream(sk))
    return false;
  // The end of the stream moves nothing, but it may reveal what went unseen.
  if (!result && direction != TAP_RECEIVED)
    return false;
  __u32 length = result;
  struct flow *flow = flow_of(sk);
  if (!flow) {
    __sync_fetch_and_add(&state.losses.untracked_bytes, (__u64)length);
    return false;
  }
  if (flow->is_dismissed) {
    note_dismissed(length);
    return false;
  }
  if (!flow_is_wanted(sk, flow)) {
    count_for_other_end(sk, flow, direction, length);
    if (settings.filter_role != TAP_ROLE_UNKNOWN)
      tell_of_other_end(sk, flow);
    return false;
  }

  // It was of interest until its container was known.
  if (settings.filter_by_container && flow->is_wanted && cgroup_verdict(flow->about.cgroup_id) == TAP_CGROUP_DISMISS) {
    count_for_other_end(sk, flow, direction, length);
    tell_of_other_end(sk, flow);
    return false;
  }

  struct task_struct *task = bpf_get_current_task_btf();
  bool process_wanted = flow_process_is_wanted(flow, task);
  __u64 unseen = 0;
  if (direction == TAP_RECEIVED)
    unseen = unseen_before(sk, flow, task->pid, length);
  else
    check_order_of_sending(sk, flow, length);
  __u64 moved = unseen + length;
  if (!moved) {
    if (is_read_to_end_of_mptcp(sk))
      end_flow(flow);
    return false;
  }
  __u64 offset = __sync_fetch_and_add(&flow->about.moved[direction], moved);
  if (!flow->is_wanted) {
    if (!process_wanted) {
      __sync_fetch_and_add(&flow->about.unwanted[direction], moved);
      tell_of_other_end(sk, flow);
      return false;
    }
    want_flow(sk, flow, task);
  }

  *steps = (struct transfer_steps){
      .transfer =
          {
              .flow_id = flow->about.flow_id,
              .process = process_key(task),
              .time_ns = bpf_ktime_get_ns(),
              .offset = offset,
              .remaining = moved,
              .direction = direction,
          },
      .flow = flow,
      .unseen = unseen,
  };
  if (!length) {
    steps->unseen = 0;
    finish_transfer(steps, TAP_CAUSE_UNSEEN);
    return false;
  }
  // What nobody may see, and what nobody received.
  enum tap_gap_cause cause = TAP_CAUSE_NONE;
  if (!process_wanted)
    cause = TAP_CAUSE_FILTERED;
  else if (message_flags & MSG_TRUNC && !is_unix_stream(sk))
    cause = TAP_CAUSE_TRUNCATED;
  if (cause != TAP_CAUSE_NONE) {
    finish_transfer(steps, cause);
    return false;
  }
  return true;
}
