// What the task's registers say of the bytes that a socket has just moved, and when they may be believed.
//
// They are those of the thread's last entry into the kernel, which need not be the call that moves the bytes: an io_uring
// receive completes inside another socket's read, a worker thread has the registers of its creator. So everything
// here must hold, or the bytes are a gap: never a guess.
#pragma once

#include "transfer.h"

#ifndef __TARGET_ARCH_x86
#error "tap-capture knows the system calls and registers of x86-64 only"
#endif

// include/linux/sched.h
#define PF_IO_WORKER 0x00000010
#define PF_USER_WORKER 0x00004000
// arch/x86/include/asm/thread_info.h: the task is in a 32-bit system call
#define TS_COMPAT 0x0002
#define ENOSYS 38

// arch/x86/entry/syscalls/syscall_64.tbl
enum {
  CALL_READ = 0,
  CALL_WRITE = 1,
  CALL_READV = 19,
  CALL_WRITEV = 20,
  CALL_SENDFILE = 40,
  CALL_SENDTO = 44,
  CALL_RECVFROM = 45,
  CALL_SENDMSG = 46,
  CALL_RECVMSG = 47,
  CALL_SPLICE = 275,
  CALL_TEE = 276,
  CALL_VMSPLICE = 278,
  CALL_RECVMMSG = 299,
  CALL_SENDMMSG = 307,
  CALL_PREADV2 = 327,
  CALL_PWRITEV2 = 328,
  CALL_IO_URING_ENTER = 426,
};

static __always_inline bool is_descriptor_of(struct task_struct *task, __u32 descriptor, struct sock *sk) {
  struct fdtable *table = task->files->fdt;
  if (descriptor >= table->max_fds)
    return false;
  struct file *file = 0;
  if (bpf_probe_read_kernel(&file, sizeof(file), table->fd + descriptor))
    return false;
  return file && file == sk->sk_socket->file;
}

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

// Finds the bytes of a transfer from the system call that the task is in; or tells why they cannot be known.
static __always_inline enum tap_gap_cause find_user_memory(struct task_struct *task, struct sock *sk,
                                                           struct transfer *transfer) {
  if (task->flags & PF_KTHREAD)
    return TAP_CAUSE_KERNEL_THREAD;
  if (task->flags & (PF_IO_WORKER | PF_USER_WORKER))
    return TAP_CAUSE_IO_URING;
  if (task->thread_info.status & TS_COMPAT)
    return TAP_CAUSE_COMPAT;
  struct pt_regs *registers = (struct pt_regs *)bpf_task_pt_regs(task);
  // The entry code stores -ENOSYS there, and the result replaces it: anything else means that the call is over, and
  // this is work done on the way back to user space (io_uring completions).
  if ((long)registers->ax != -ENOSYS)
    return TAP_CAUSE_IO_URING;

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
