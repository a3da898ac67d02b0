// Who is running: the key of a process, and which processes are of interest.
#pragma once

#include "maps.h"
#include <bpf/bpf_core_read.h>

// include/linux/sched.h
#define PF_KTHREAD 0x00200000

static __always_inline struct tap_process_key process_key(struct task_struct *task) {
  return (struct tap_process_key){
      .start_boottime_ns = task->group_leader->start_boottime,
      .tgid = task->tgid,
      .uid = task->cred->euid.val,
      .gid = task->cred->egid.val,
      .exec_id = task->self_exec_id,
  };
}

// The id of a task's control group in the unified hierarchy.
static __always_inline __u64 cgroup_id(struct task_struct *task) { return BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id); }

static __always_inline __u8 cgroup_verdict(__u64 id) {
  __u8 *verdict = bpf_map_lookup_elem(&cgroup_verdicts, &id);
  return verdict ? *verdict : 0;
}

static __always_inline bool process_is_wanted(__u32 tgid) {
  if (bpf_map_lookup_elem(&excluded, &tgid))
    return false;
  return !settings.filter_by_process || bpf_map_lookup_elem(&traced, &tgid);
}

static __always_inline void expire_process_verdicts(void) {
  __sync_fetch_and_add(&state.process_generation, 1);
}
