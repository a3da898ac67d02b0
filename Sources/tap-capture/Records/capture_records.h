// The records that the kernel program writes and tap-capture reads: one definition for both sides of the ring.
#pragma once

#include <linux/types.h>

// Payload room of one data record. A transfer that is longer becomes several records.
#define TAP_PAYLOAD_BYTES_MAX 32768
// Room for a command line and for the components of an executable's path; what is longer is cut and marked.
#define TAP_COMMAND_LINE_BYTES 4096
#define TAP_PATH_BYTES 4096
#define TAP_CGROUP_BYTES 1024
#define TAP_COMM_BYTES 16
// sun_path of unix(7)
#define TAP_UNIX_NAME_BYTES 108

enum tap_record_kind {
  TAP_RECORD_FLOW = 1,
  TAP_RECORD_DATA,
  TAP_RECORD_GAP,
  TAP_RECORD_CLOSE,
  TAP_RECORD_FORK,
  TAP_RECORD_EXEC,
  TAP_RECORD_EXIT,
  TAP_RECORD_OTHER_END,
};

enum tap_direction {
  TAP_SENT = 0,
  TAP_RECEIVED = 1,
};

enum tap_role {
  TAP_ROLE_UNKNOWN = 0,
  TAP_ROLE_CLIENT = 1,
  TAP_ROLE_SERVER = 2,
};

// How a connection ended.
enum tap_end_reason {
  TAP_END_CLOSED = 0,
  TAP_END_RESET = 1,      // by either side, without a FIN
  TAP_END_TIMED_OUT = 2,  // the other side does not answer any more, or cannot be reached
};

enum tap_family {
  TAP_FAMILY_IPV4 = 0,
  TAP_FAMILY_IPV6 = 1,
  TAP_FAMILY_UNIX = 2,
};

// Why bytes that moved were not recorded. What the ring had no room for has no record of its own; it is known
// from `lost_before` and from the totals in the record of the flow's end.
enum tap_gap_cause {
  TAP_CAUSE_NONE = 0,
  TAP_CAUSE_FAULT,           // the user memory could not be read
  TAP_CAUSE_TRUNCATED,       // MSG_TRUNC: the kernel dropped the bytes, nobody received them
  TAP_CAUSE_SENDFILE,        // sendfile, splice: the bytes come from a file or a pipe
  TAP_CAUSE_IO_URING,        // moved by io_uring: the registers are those of some other system call
  TAP_CAUSE_COMPAT,          // a 32-bit system call
  TAP_CAUSE_KERNEL_THREAD,   // moved by the kernel itself
  TAP_CAUSE_MULTI_MESSAGE,   // sendmmsg, recvmmsg
  TAP_CAUSE_OTHER_CALL,      // a system call that this engine does not know, or one on another descriptor
  TAP_CAUSE_UNSEEN,          // received where no engine looks: splice, TCP_ZEROCOPY_RECEIVE
  TAP_CAUSE_FILTERED,        // moved by a process that the filters leave out
  TAP_CAUSE_CUT,             // beyond max_bytes of one call
};

// Protocols that first bytes tell apart.
enum tap_protocol {
  TAP_PROTOCOL_REDIS = 1 << 0,
  TAP_PROTOCOL_HTTP = 1 << 1,
  TAP_PROTOCOL_OTHER = 1 << 2,
};

// A process: a tgid, and the time since boot when it began, because tgids come back. And what it is at that moment: its user,
// whom it may change at any time, and which of its programs it runs.
struct tap_process_key {
  __u64 start_boottime_ns;
  __u32 tgid;
  __u32 uid;      // effective
  __u32 gid;      // effective
  __u32 exec_id;  // another one after each exec; a child begins with its parent's
};

// Bytes that moved (TAP_RECORD_DATA, followed by `length` bytes) or that could not be recorded (TAP_RECORD_GAP).
struct tap_transfer_record {
  __u32 kind;
  __u8 direction;
  __u8 cause;
  __u8 has_overlaps;  // calls of several threads overlapped in the flow by now: the order of its bytes is not certain
  __u8 reserved;
  __u64 length;
  __u64 flow_id;
  __u64 time_ns;      // CLOCK_MONOTONIC
  __u64 offset;       // position of the first byte in the flow's stream of this direction
  __u64 lost_before;  // bytes of this direction, before these, that the ring had no room for
  struct tap_process_key process;
};

// One end of a connection: an IP address in its first 4 or 16 bytes with its port, or the name of a unix socket.
struct tap_address {
  __u8 bytes[TAP_UNIX_NAME_BYTES];
  __u16 port;
  __u16 name_length;  // of a unix socket's name; 0 where it has none
};

// A connection: at its first event, at its end, and at the end of the capture. Each one tells everything, so
// that a flow whose other records were lost can still be described.
struct tap_flow_record {
  __u32 kind;
  __u32 reserved0;
  __u64 flow_id;
  __u64 time_ns;
  struct tap_process_key process;
  __u64 opened_ns;    // CLOCK_MONOTONIC; 0 if that was not seen
  __u64 unwanted[2];  // bytes that had moved before the flow was of interest, by direction
  __u64 moved[2];     // bytes moved so far
  __u64 unseen_at_end;  // of these, received at the end where no engine looks
  // What tells the two ends of a connection within this machine: what one end calls its own is the other's other. 0: not
  // known.
  __u64 cgroup_id;  // of the process, in the unified hierarchy; only where containers are chosen
  __u64 own_end;
  __u64 other_end;
  struct tap_process_key other_process;  // who uses the other end of a unix socket, where that is of no interest; tgid 0: not known
  struct tap_address local;
  struct tap_address remote;
  __u32 peer_pid;  // of a unix socket's other end, as SO_PEERCRED tells it; 0: not known
  __u8 family;
  __u8 role;
  __u8 is_joined;  // it was open before capture
  __u8 is_dismissed;  // the connection goes on; its first bytes are of a protocol that is not asked for
  __u8 end_reason;    // enum tap_end_reason
  __u8 reserved[3];
  __u8 comm[TAP_COMM_BYTES];
};

// The other end of a connection that is of interest, which is of none itself: who has it.
struct tap_other_end_record {
  __u32 kind;
  __u32 reserved;
  __u64 time_ns;
  __u64 other_end;  // of the end of interest, its `own_end`
  struct tap_process_key process;
  __u8 comm[TAP_COMM_BYTES];
};

// A new process (not a new thread): `process` is the child.
struct tap_fork_record {
  __u32 kind;
  __u32 namespace_pid;  // what it is called in its own pid namespace
  struct tap_process_key process;
  struct tap_process_key parent;
};

struct tap_exit_record {
  __u32 kind;
  __u32 reserved;
  __u64 time_ns;
  struct tap_process_key process;
};

// A process became another program.
struct tap_exec_record {
  __u32 kind;
  __u32 namespace_pid;  // what it is called in its own pid namespace
  struct tap_process_key process;
  struct tap_process_key parent;
  __u8 comm[TAP_COMM_BYTES];
  __u32 command_line_length;  // bytes recorded
  __u32 command_line_total;   // bytes there are; 0 recorded of some: they could not be read
  __u32 path_length;          // bytes of `path` up to the root that the process sees
  __u32 path_is_cut;
  __u32 host_path_length;     // bytes of it up to the root of all mounts; 0: they did not fit
  __u32 reserved;
  __u32 cgroup_length;        // bytes of `cgroup` in use
  __u32 cgroup_is_cut;
  __u8 command_line[TAP_COMMAND_LINE_BYTES];  // arguments, each ended by a NUL
  __u8 path[TAP_PATH_BYTES];                  // components from the file up to the roots, each ended by a NUL
  __u8 cgroup[TAP_CGROUP_BYTES];              // the same of the control group in the unified hierarchy
};

// A port on which somebody listens, in a network namespace.
struct tap_listener_key {
  __u32 network_namespace;
  __u32 port;
};

// What the kernel program could not put into the ring or keep. Counts since the start.
struct tap_loss_counters {
  __u64 transfer_records;  // data and gap records
  __u64 transfer_bytes;
  __u64 close_records;     // kept in the map of unreported ends
  __u64 forgotten_ends;    // not even kept there, or losses of open flows that were not kept
  __u64 process_records;   // fork, exec, exit
  __u64 untracked_bytes;   // moved on sockets for which no storage could be had
};

// Flows that ended early because they speak another protocol. Of their later bytes only the number is known.
struct tap_dismissal_counters {
  __u64 flows;
  __u64 tls_flows;  // of these, began with a TLS ClientHello
};

// Sums by processor, modulo this, each in a line of the cache for itself.
#define TAP_PROCESSOR_SUMS 64
struct tap_processor_sum {
  __u64 bytes;
  __u64 reserved[7];
};

#define TAP_FILTER_PORTS_MAX 64
// Of each other filter.
#define TAP_FILTER_VALUES_MAX 16

// Of a control group: whether the container that it is of is chosen.
enum tap_cgroup_verdict {
  TAP_CGROUP_KEEP = 1,
  TAP_CGROUP_DISMISS = 2,
};

// The file of a program.
struct tap_program_file {
  __u64 inode;
  __u32 device;  // as the kernel keeps it: major << 20 | minor
  __u32 reserved;
};

// Fixed before the kernel program is loaded.
struct tap_settings {
  __u64 wakeup_bytes;  // wake the reader when so much of the ring is in use
  __u32 wakeup_record_bytes;  // only records of at least so many bytes ask for that
  __u32 max_bytes;            // recorded of one call; 0: all
  __u32 filter_port_count;
  __u16 filter_ports[TAP_FILTER_PORTS_MAX];  // local or remote
  __u8 filter_role;                          // only flows of this role; unknown: all
  __u8 filter_by_process;                    // only the processes in the map `traced`
  __u8 filter_loopback;                      // leave out what stays on this machine
  __u8 filter_protocols;                     // tap_protocol bits; 0: any
  __u8 filter_by_container;                  // by the map `cgroup_verdicts`
  // Of the process: one of each kind that has any must fit.
  __u32 filter_comm_count;
  __u32 filter_program_count;
  __u32 filter_user_count;
  __u32 filter_cgroup_count;  // in the map `cgroups`
  __u8 filter_comms[TAP_FILTER_VALUES_MAX][TAP_COMM_BYTES];  // padded with NULs
  struct tap_program_file filter_programs[TAP_FILTER_VALUES_MAX];
  __u32 filter_users[TAP_FILTER_VALUES_MAX];
};

// Shared while it runs.
struct tap_shared_state {
  struct tap_loss_counters losses;
  struct tap_dismissal_counters dismissed;
  struct tap_processor_sum dismissed_bytes[TAP_PROCESSOR_SUMS];  // in no frame
  __u64 last_flow_id;
  // Rises whenever the set of processes that are traced or excluded changes: verdicts kept with flows expire.
  __u32 process_generation;
  // Set when transfers are about to be seen no more: from then on what is received unseen is not the capture's.
  __u32 is_stopping;
  // Set when every connection that was open before the capture is known: one that is not is a new one.
  __u32 is_census_done;
  // Set when the cgroups that were there before the capture are judged: one that is not is a new one.
  __u32 are_cgroups_judged;
  // Set by a reader to whom nothing happens: the next record wakes it.
  __u32 is_reader_asleep;
};
