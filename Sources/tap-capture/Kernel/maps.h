// What the kernel program shares with tap-capture: settings fixed before it is loaded, the ring, and the maps.
#pragma once

#include "capture_records.h"
#include "kernel_types.h"
#include <bpf/bpf_helpers.h>

// Constants to the verifier, which removes the code that unused filters would need.
const volatile struct tap_settings settings SEC(".rodata.settings") = {};

struct tap_shared_state state SEC(".data.state") = {};

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 16 << 20);
} ring SEC(".maps");

// tgids to trace when settings.filter_by_process is set.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 65536);
  __type(key, __u32);
  __type(value, __u8);
} traced SEC(".maps");

// tgids that are never traced: tap-capture and the processes downstream of its output.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 4096);
  __type(key, __u32);
  __type(value, __u8);
} excluded SEC(".maps");

// Cgroups whose processes are captured when settings.filter_cgroup_count is set; a cgroup includes those below it.
struct {
  __uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
  __uint(max_entries, TAP_FILTER_VALUES_MAX);
  __type(key, __u32);
  __type(value, __u32);
} cgroups SEC(".maps");

// By the id of a control group: an enum tap_cgroup_verdict. tap-capture knows which container a group is of, and what that is
// called.
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 16384);
  __type(key, __u64);
  __type(value, __u8);
} cgroup_verdicts SEC(".maps");

// Where somebody listens, or did. Only the roles of some connections that were open before capture depend on it.
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 16384);
  __type(key, struct tap_listener_key);
  __type(value, __u8);
} listeners SEC(".maps");

// Connections of interest, by the `own_end` of the flow that is: who has the other end is told of, too.
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 16384);
  __type(key, __u64);
  __type(value, __u8);
} wanted_ends SEC(".maps");

// What is known of flows, by their ids.
struct flow_records {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 65536);
  __type(key, __u64);
  __type(value, struct tap_flow_record);
};

// Ends of flows that found no room in the ring; tap-capture collects them.
struct flow_records unreported_ends SEC(".maps");

// Flows that are open and of which the ring had no room for something.
struct flow_records tcp_losses SEC(".maps");

// The same over unix sockets; tap-capture collects them, since their ends are not seen.
struct flow_records unix_losses SEC(".maps");
