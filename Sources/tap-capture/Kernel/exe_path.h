// The path of a program's file, walked from its directory entry up to the task's root, and on to that of all mounts where
// the task's is another (chroot): bpf_d_path is refused in these programs.
#pragma once

#include "capture_records.h"
#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define NAME_BYTES 256  // NAME_MAX and the NUL
#define PATH_DEPTH_MAX 128

struct path_walk {
  struct tap_exec_record *record;
  struct dentry *entry;
  struct vfsmount *mount;
  struct dentry *root_entry;
  struct vfsmount *root_mount;
  __u32 length;
  __u32 root_length;  // where the task's root was met
  bool has_met_root;
  bool is_at_top;
};

// One component, or one step across a mount. Returns 1 at the end.
static long record_component(__u32 index, void *context) {
  struct path_walk *walk = context;
  // In variables of their own: the macros below would take path_walk for a kernel type.
  struct dentry *entry = walk->entry;
  struct vfsmount *mounted = walk->mount;
  if (entry == walk->root_entry && mounted == walk->root_mount) {
    walk->has_met_root = true;
    walk->root_length = walk->length;
  }
  if (entry == BPF_CORE_READ(mounted, mnt_root)) {
    struct mount *mount = (void *)mounted - bpf_core_field_offset(struct mount, mnt);
    struct mount *parent = BPF_CORE_READ(mount, mnt_parent);
    if (parent == mount) {
      walk->is_at_top = true;
      return 1;
    }
    walk->entry = BPF_CORE_READ(mount, mnt_mountpoint);
    walk->mount = (void *)parent + bpf_core_field_offset(struct mount, mnt);
    return 0;
  }
  struct dentry *parent = BPF_CORE_READ(entry, d_parent);
  __u32 length = walk->length;
  if (parent == entry || length > TAP_PATH_BYTES - NAME_BYTES)
    return 1;
  long stored = bpf_probe_read_kernel_str(walk->record->path + length, NAME_BYTES, BPF_CORE_READ(entry, d_name.name));
  if (stored <= 0 || stored > NAME_BYTES)
    return 1;
  walk->length = length + stored;
  walk->entry = parent;
  return 0;
}

static __always_inline void record_path(struct tap_exec_record *record, struct task_struct *task, struct file *file) {
  struct path_walk walk = {
      .record = record,
      .entry = BPF_CORE_READ(file, f_path.dentry),
      .mount = BPF_CORE_READ(file, f_path.mnt),
      .root_entry = BPF_CORE_READ(task, fs, root.dentry),
      .root_mount = BPF_CORE_READ(task, fs, root.mnt),
  };
  bpf_loop(PATH_DEPTH_MAX, record_component, &walk, 0);
  // A file outside of the task's root has only the path from the top.
  record->path_length = walk.has_met_root ? walk.root_length : walk.length;
  record->path_is_cut = !walk.has_met_root && !walk.is_at_top;
  record->host_path_length = walk.is_at_top ? walk.length : 0;
  record->reserved = 0;
}
