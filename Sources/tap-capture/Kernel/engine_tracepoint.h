// The tracepoint engine (kernel 6.3 and later): sock_send_length and sock_recv_length fire after the call, with the
// socket and the bytes that really moved; where they are in memory is told by the task's registers.
#pragma once

#include "system_call.h"
#include "unseen.h"
#include <bpf/bpf_tracing.h>

// include/linux/socket.h
#define MSG_OOB 0x1
#define MSG_PEEK 0x2
#define MSG_TRUNC 0x20
#define MSG_ERRQUEUE 0x2000

static __always_inline int handle_transfer(struct sock *sk, int result, int direction, int message_flags) {
  // An error or the end of the stream; and what is peeked at, or comes from the error queue, does not leave the stream.
  // Urgent data is outside of the stream.
  if (result <= 0 || message_flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB) || !is_tcp(sk))
    return 0;
  __u32 length = result;
  struct flow *flow = flow_of(sk);
  if (!flow) {
    __sync_fetch_and_add(&state.losses.untracked_bytes, (__u64)length);
    return 0;
  }
  if (!flow_is_wanted(sk, flow))
    return 0;

  struct task_struct *task = bpf_get_current_task_btf();
  bool process_wanted = flow_process_is_wanted(flow, task->tgid);
  __u32 unseen = direction == TAP_RECEIVED ? unseen_before(sk, flow, task->pid, length) : 0;
  __u64 moved = (__u64)unseen + length;
  __u64 offset = __sync_fetch_and_add(&flow->about.moved[direction], moved);
  if (!flow->is_wanted) {
    if (!process_wanted) {
      __sync_fetch_and_add(&flow->about.unwanted[direction], moved);
      return 0;
    }
    want_flow(sk, flow, task);
  }

  struct transfer_steps steps = {
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
  };
  if (!flow->is_described && !describe_flow(flow, steps.transfer.time_ns)) {
    count_loss(&steps.transfer, flow, moved);
    return 0;
  }
  if (unseen)
    record_gap(&steps.transfer, flow, unseen, TAP_CAUSE_UNSEEN);
  enum tap_gap_cause cause;
  if (!process_wanted)
    cause = TAP_CAUSE_FILTERED;
  else if (message_flags & MSG_TRUNC)
    cause = TAP_CAUSE_TRUNCATED;
  else
    cause = find_user_memory(task, sk, &steps.transfer);
  if (cause == TAP_CAUSE_NONE)
    record_transfer(&steps);
  else
    record_gap(&steps.transfer, flow, length, cause);
  return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(socket_sent, struct sock *sk, int result, int flags) {
  return handle_transfer(sk, result, TAP_SENT, 0);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(socket_received, struct sock *sk, int result, int flags) {
  return handle_transfer(sk, result, TAP_RECEIVED, flags);
}
