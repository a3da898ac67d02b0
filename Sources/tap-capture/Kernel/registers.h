// The registers of a thread's last entry into the kernel, and when they may be believed.
//
// That entry need not be the call that moves the bytes: an io_uring receive completes inside another socket's read, a
// worker thread has the registers of its creator. So everything here must hold, or the bytes are a gap: never a guess.
#pragma once

#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "capture_records.h"

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

// Linux 6.2 and later: memory at any address, read as this type without a call of a helper; zero where there is none. Weak,
// so that older kernels take the object, where no program that needs it is loaded.
extern void *bpf_rdonly_cast(const void *address, __u32 type) __ksym __weak;

static __always_inline bool is_descriptor_of(struct task_struct *task, __u32 descriptor, struct sock *sk) {
  struct fdtable *table = task->files->fdt;
  if (descriptor >= table->max_fds)
    return false;
  // A slot of the table is a pointer, like what stands first in this type.
  struct list_head *slot = bpf_rdonly_cast(table->fd + descriptor, bpf_core_type_id_kernel(struct list_head));
  struct file *file = (struct file *)slot->next;
  return file && file == sk->sk_socket->file;
}

// Why the registers do not tell of what is happening; TAP_CAUSE_NONE: they do.
static __always_inline enum tap_gap_cause cause_not_to_believe(struct task_struct *task, struct pt_regs *registers) {
  if (task->flags & PF_KTHREAD)
    return TAP_CAUSE_KERNEL_THREAD;
  if (task->flags & (PF_IO_WORKER | PF_USER_WORKER))
    return TAP_CAUSE_IO_URING;
  if (task->thread_info.status & TS_COMPAT)
    return TAP_CAUSE_COMPAT;
  // The entry code stores -ENOSYS there, and the result replaces it: anything else means that the call is over, and
  // this is work done on the way back to user space (io_uring completions).
  return (long)registers->ax == -ENOSYS ? TAP_CAUSE_NONE : TAP_CAUSE_IO_URING;
}
