// Which processes are of interest by what they are: name, program, user, cgroup. All of it can change without exec
// (prctl, setuid, a write to cgroup.procs), so no verdict is kept; unused filters are removed by the verifier.
#pragma once

#include "process.h"

// The name of the process, not of the thread.
static __always_inline bool comm_is_wanted(struct task_struct *task) {
  __u64 comm[TAP_COMM_BYTES / 8] = {};
  bpf_core_read_str(comm, sizeof(comm), &task->group_leader->comm);
  for (__u32 i = 0; i < TAP_FILTER_VALUES_MAX && i < settings.filter_comm_count; i++) {
    const volatile __u64 *wanted = (const volatile __u64 *)settings.filter_comms[i];
    if (wanted[0] == comm[0] && wanted[1] == comm[1])
      return true;
  }
  return false;
}

static __always_inline bool program_is_wanted(struct task_struct *task) {
  struct inode *inode = BPF_CORE_READ(task, mm, exe_file, f_inode);
  if (!inode)
    return false;  // a kernel thread
  __u64 number = BPF_CORE_READ(inode, i_ino);
  __u32 device = BPF_CORE_READ(inode, i_sb, s_dev);
  for (__u32 i = 0; i < TAP_FILTER_VALUES_MAX && i < settings.filter_program_count; i++)
    if (settings.filter_programs[i].inode == number && settings.filter_programs[i].device == device)
      return true;
  return false;
}

static __always_inline bool user_is_wanted(struct task_struct *task) {
  __u32 user = task->cred->euid.val;
  for (__u32 i = 0; i < TAP_FILTER_VALUES_MAX && i < settings.filter_user_count; i++)
    if (settings.filter_users[i] == user)
      return true;
  return false;
}

// Of the current task, in the unified hierarchy (cgroup v2).
static __always_inline bool cgroup_is_wanted(void) {
  for (__u32 i = 0; i < TAP_FILTER_VALUES_MAX && i < settings.filter_cgroup_count; i++)
    if (bpf_current_task_under_cgroup(&cgroups, i) == 1)
      return true;
  return false;
}

// A group of which nothing is known yet passes: tap-capture asks what it is, and takes nothing that is not chosen.
static __always_inline bool container_is_wanted(struct task_struct *task) {
  __u8 verdict = cgroup_verdict(cgroup_id(task));
  return verdict ? verdict == TAP_CGROUP_KEEP : state.are_cgroups_judged;
}

// `task` is the current one.
static __always_inline bool traits_are_wanted(struct task_struct *task) {
  return (!settings.filter_comm_count || comm_is_wanted(task)) && (!settings.filter_user_count || user_is_wanted(task)) &&
         (!settings.filter_cgroup_count || cgroup_is_wanted()) &&
         (!settings.filter_by_container || container_is_wanted(task)) &&
         (!settings.filter_program_count || program_is_wanted(task));
}
