// A flow: what is kept with each socket, from its opening or from its first bytes on. No table is keyed by process
// and descriptor, so nothing goes stale.
#pragma once

#include "maps.h"
#include "unix_socket.h"

// First bytes of each direction that are kept: those of the HTTP/2 preface up to its version, and some.
#define OPENING_BYTES 16

struct flow {
  // What the reader is told at the flow's beginning and at its end. The totals in it are kept up to date; the rest is
  // written down at the first bytes of interest, because a socket has lost its addresses by the time of its end.
  struct tap_flow_record about;
  __u64 lost[2];  // bytes that the ring had no room for and that no record has told of yet
  __u64 process_verdict;
  __u64 position_base;  // how far the process has read, less the bytes received
  __u32 sequence_base;  // the same in TCP's sequence numbers
  __u32 urgent;         // the last urgent byte that was stepped over
  __u32 sent_base;      // TCP's send position less the bytes sent
  __u32 reader;         // the thread that received last
  __u8 sequence_is_known;
  __u8 sent_base_is_known;
  __u8 has_several_readers;
  __u8 has_overlaps;
  __u8 has_owner;       // `about` names a process of interest
  __u8 is_left;         // its process has closed it, or shut down sending
  __u8 is_established;  // its opening was seen to the end; `about` holds its ends
  __u8 filter_verdict;
  __u8 is_wanted;
  __u8 is_described;
  __u8 is_ended;
  __u8 has_kept_loss;   // its totals are among the losses, too
  __u8 end_questions;   // how often the other end was looked for
  __u8 is_dismissed;
  __u8 protocol_is_settled;  // nothing more is looked at
  __u8 protocols;            // that its first bytes leave possible
  __u8 opening_length[2];
  __u8 opening[2][OPENING_BYTES];
};

struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct flow);
} flows SEC(".maps");
