// When to wake the reader. A wake-up costs more than a record (1.4 µs against 25 ns), and the reader looks by itself
// every 10 ms; only a ring that fills faster than that needs one, and a reader that sleeps because nothing happens.
#pragma once

#include "maps.h"

// Flags for the submission of a record of so many bytes, which must be reserved by now: the reader goes to sleep only if
// nothing is. Small records cannot fill a ring of usual size within 10 ms, so that only large ones pay for the question.
static __always_inline __u64 submit_flags(__u32 length) {
  if (state.is_reader_asleep) {
    state.is_reader_asleep = false;
    return BPF_RB_FORCE_WAKEUP;
  }
  if (length >= settings.wakeup_record_bytes && bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >= settings.wakeup_bytes)
    return BPF_RB_FORCE_WAKEUP;
  return BPF_RB_NO_WAKEUP;
}
