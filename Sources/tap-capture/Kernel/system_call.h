// Where the bytes are that a socket has just moved, from the system call that the task is in.
#pragma once

#include "multi_message.h"

// include/uapi/linux/uio.h
#define UIO_MAXIOV 1024

static __always_inline enum tap_gap_cause cause_of_other_call(__u64 call) {
  switch (call) {
  case CALL_SENDFILE:
  case CALL_SPLICE:
  case CALL_TEE:
  case CALL_VMSPLICE:
    return TAP_CAUSE_SENDFILE;
  case CALL_RECVMMSG:
  case CALL_SENDMMSG:
    return TAP_CAUSE_MULTI_MESSAGE;
  case CALL_IO_URING_ENTER:
    return TAP_CAUSE_IO_URING;
  default:
    return TAP_CAUSE_OTHER_CALL;
  }
}

static __always_inline enum tap_gap_cause take_iovecs(struct transfer *transfer, __u64 iovecs, __u64 count) {
  transfer->iovecs = iovecs;
  transfer->iovec_count = count < UIO_MAXIOV ? count : UIO_MAXIOV;
  return TAP_CAUSE_NONE;
}

// Finds the bytes of a transfer from the system call that the task is in; or tells why they cannot be known. `place` is
// that of the message, where the call has several.
static __always_inline enum tap_gap_cause find_user_memory(struct task_struct *task, struct pt_regs *registers,
                                                           struct sock *sk, struct transfer *transfer,
                                                           const struct message_place *place) {
  enum tap_gap_cause cause = cause_not_to_believe(task, registers);
  if (cause != TAP_CAUSE_NONE)
    return cause;
  if (place->is_known)
    return take_iovecs(transfer, place->iovecs, place->iovec_count);

  __u64 call = registers->orig_ax;
  enum { BUFFER, IOVECS, MESSAGE } form;
  int direction;
  switch (call) {
  case CALL_READ:
  case CALL_RECVFROM:
    form = BUFFER, direction = TAP_RECEIVED;
    break;
  case CALL_READV:
  case CALL_PREADV2:
    form = IOVECS, direction = TAP_RECEIVED;
    break;
  case CALL_RECVMSG:
    form = MESSAGE, direction = TAP_RECEIVED;
    break;
  case CALL_WRITE:
  case CALL_SENDTO:
    form = BUFFER, direction = TAP_SENT;
    break;
  case CALL_WRITEV:
  case CALL_PWRITEV2:
    form = IOVECS, direction = TAP_SENT;
    break;
  case CALL_SENDMSG:
    form = MESSAGE, direction = TAP_SENT;
    break;
  default:
    return cause_of_other_call(call);
  }
  if (direction != transfer->direction || !is_descriptor_of(task, registers->di, sk))
    return TAP_CAUSE_OTHER_CALL;

  if (form == BUFFER) {
    transfer->piece_address = registers->si;
    transfer->piece_length = registers->dx;
    return TAP_CAUSE_NONE;
  }
  if (form == IOVECS)
    return take_iovecs(transfer, registers->si, registers->dx);
  struct user_message_header header;
  if (bpf_probe_read_user(&header, sizeof(header), (const void *)registers->si))
    return TAP_CAUSE_FAULT;
  return take_iovecs(transfer, header.iovecs, header.iovec_count);
}
