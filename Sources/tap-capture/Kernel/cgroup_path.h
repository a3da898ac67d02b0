// The path of a task's control group in the unified hierarchy, walked from its directory up to the root: it names the
// container, also of a process that is gone before anybody could read /proc.
#pragma once

#include "capture_records.h"
#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define CGROUP_NAME_BYTES 256  // NAME_MAX and the NUL
#define CGROUP_DEPTH_MAX 32

struct cgroup_walk {
  struct tap_exec_record *record;
  struct kernfs_node *node;
  __u32 length;
  __u32 is_at_root;
};

// The field has another name from kernel 6.15 on.
static __always_inline struct kernfs_node *parent_node(struct kernfs_node *node) {
  struct kernfs_node___6_15 *later = (void *)node;
  if (bpf_core_field_exists(later->__parent))
    return BPF_CORE_READ(later, __parent);
  return BPF_CORE_READ(node, parent);
}

// One component. Returns 1 at the end.
static long record_cgroup_component(__u32 index, void *context) {
  struct cgroup_walk *walk = context;
  struct kernfs_node *node = walk->node;
  struct kernfs_node *parent = parent_node(node);
  __u32 length = walk->length;
  if (!parent) {
    walk->is_at_root = true;
    return 1;
  }
  if (length > TAP_CGROUP_BYTES - CGROUP_NAME_BYTES)
    return 1;
  long stored = bpf_probe_read_kernel_str(walk->record->cgroup + length, CGROUP_NAME_BYTES, BPF_CORE_READ(node, name));
  if (stored <= 0 || stored > CGROUP_NAME_BYTES)
    return 1;
  walk->length = length + stored;
  walk->node = parent;
  return 0;
}

static __always_inline void record_cgroup(struct tap_exec_record *record, struct task_struct *task) {
  struct cgroup_walk walk = {.record = record, .node = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn)};
  bpf_loop(CGROUP_DEPTH_MAX, record_cgroup_component, &walk, 0);
  record->cgroup_length = walk.length;
  record->cgroup_is_cut = !walk.is_at_root;
}
