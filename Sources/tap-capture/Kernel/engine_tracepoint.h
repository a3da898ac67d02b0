// The tracepoint engine (kernel 6.3 and later): sock_send_length and sock_recv_length fire after the call, with the
// socket and the bytes that really moved; where they are in memory is told by the task's registers.
#pragma once

#include "moved_bytes.h"
#include "system_call.h"
#include <bpf/bpf_tracing.h>

static __always_inline int handle_socket_event(struct sock *sk, int result, int direction, int message_flags) {
  if (!is_stream(sk))
    return 0;
  struct task_struct *task = bpf_get_current_task_btf();
  struct pt_regs *registers = (struct pt_regs *)bpf_task_pt_regs(task);
  struct message_place place = {};
  follow_messages(task, registers, sk, result, direction, message_flags, &place);
  struct transfer_steps steps;
  if (begin_transfer(&steps, sk, result, direction, message_flags))
    finish_transfer(&steps, find_user_memory(task, registers, sk, &steps.transfer, &place));
  return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(socket_sent, struct sock *sk, int result, int flags) {
  return handle_socket_event(sk, result, TAP_SENT, 0);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(socket_received, struct sock *sk, int result, int flags) {
  return handle_socket_event(sk, result, TAP_RECEIVED, flags);
}
