// Attribution is kept by fork, exec and exit, not by looking into /proc afterwards: a redis-cli lives for 3 ms.
#pragma once

#include "cgroup_path.h"
#include "exe_path.h"
#include "process.h"
#include "wakeup.h"
#include <bpf/bpf_tracing.h>

// A process has a number in each namespace from the first one (level 0) to its own.
static __always_inline __u32 namespace_pid(struct task_struct *task) {
  struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);
  __u32 level = BPF_CORE_READ(pid, level);
  void *number = (void *)pid + bpf_core_field_offset(struct pid, numbers) + level * bpf_core_type_size(struct upid) +
                 bpf_core_field_offset(struct upid, nr);
  __u32 own = 0;
  bpf_probe_read_kernel(&own, sizeof(own), number);
  return own;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_forked, struct task_struct *parent, struct task_struct *child) {
  __u32 parent_tgid = parent->tgid, child_tgid = child->tgid;
  if (child_tgid == parent_tgid)
    return 0;  // a thread
  if (settings.filter_by_process && bpf_map_lookup_elem(&traced, &parent_tgid)) {
    __u8 present = 1;
    bpf_map_update_elem(&traced, &child_tgid, &present, BPF_ANY);
    expire_process_verdicts();
  }
  struct tap_fork_record *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
  if (!record) {
    __sync_fetch_and_add(&state.losses.process_records, 1);
    return 0;
  }
  record->kind = TAP_RECORD_FORK;
  record->namespace_pid = namespace_pid(child);
  record->process = process_key(child);
  record->parent = process_key(parent);
  bpf_ringbuf_submit(record, submit_flags(sizeof(*record)));
  return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_executed, struct task_struct *task, pid_t old_pid, struct linux_binprm *program) {
  struct tap_exec_record *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
  if (!record) {
    __sync_fetch_and_add(&state.losses.process_records, 1);
    return 0;
  }
  record->kind = TAP_RECORD_EXEC;
  record->namespace_pid = namespace_pid(task);
  record->process = process_key(task);
  record->parent = process_key(task->real_parent);
  bpf_core_read(record->comm, TAP_COMM_BYTES, &task->comm);

  __u64 start = task->mm->arg_start, end = task->mm->arg_end;
  __u64 total = end > start ? end - start : 0;
  __u32 stored = total < TAP_COMMAND_LINE_BYTES ? total : TAP_COMMAND_LINE_BYTES;
  record->command_line_total = total < (1 << 30) ? total : 1 << 30;
  if (bpf_probe_read_user(record->command_line, stored, (const void *)start))
    stored = 0;
  record->command_line_length = stored;
  record_path(record, task, task->mm->exe_file);
  record_cgroup(record, task);
  bpf_ringbuf_submit(record, submit_flags(sizeof(*record)));
  return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exited, struct task_struct *task) {
  if (task->signal->live.counter != 0)
    return 0;  // other threads go on
  __u32 tgid = task->tgid;
  bool was_traced = settings.filter_by_process && bpf_map_delete_elem(&traced, &tgid) == 0;
  bool was_excluded = bpf_map_delete_elem(&excluded, &tgid) == 0;
  if (was_traced || was_excluded)
    expire_process_verdicts();
  struct tap_exit_record *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
  if (!record) {
    __sync_fetch_and_add(&state.losses.process_records, 1);
    return 0;
  }
  record->kind = TAP_RECORD_EXIT;
  record->reserved = 0;
  record->time_ns = bpf_ktime_get_ns();
  record->process = process_key(task);
  bpf_ringbuf_submit(record, submit_flags(sizeof(*record)));
  return 0;
}
