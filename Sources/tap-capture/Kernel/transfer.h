// "A socket moved N bytes; here is where they are in user memory, or why we cannot know": the way from there into
// the ring. Every engine ends here.
#pragma once

#include "flow.h"

#define USER_PAGE_BYTES 4096u
// include/uapi/linux/uio.h
#define UIO_MAXIOV 1024

// One call that moved bytes. It lives on the stack of the program that handles the event: programs can be preempted,
// so no scratch is shared.
struct transfer {
  __u64 flow_id;
  struct tap_process_key process;
  __u64 time_ns;
  __u64 offset;        // of the next byte, in the flow's stream
  __u64 piece_address; // of the next byte, in memory
  __u64 piece_length;  // bytes that follow it there
  __u64 iovecs;        // the array of further pieces
  __u64 remaining;       // bytes of the call that are not recorded yet
  __u32 iovec_count;
  __u32 page_by_page;    // so many of them are to be read page by page, because a page of theirs is missing
  __u8 direction;
  bool iovecs_are_in_kernel;
  bool pieces_are_in_kernel;
};

static __always_inline long read_memory(void *target, __u32 length, __u64 address, bool is_in_kernel) {
  return is_in_kernel ? bpf_probe_read_kernel(target, length, (const void *)address)
                      : bpf_probe_read_user(target, length, (const void *)address);
}

static __always_inline void fill_transfer_record(struct tap_transfer_record *record, struct transfer *transfer,
                                                 struct flow *flow, __u64 length) {
  __u64 *lost = &flow->lost[transfer->direction & 1];
  record->kind = TAP_RECORD_DATA;
  record->length = length;
  record->flow_id = transfer->flow_id;
  record->time_ns = transfer->time_ns;
  record->offset = transfer->offset;
  record->lost_before = *lost ? __sync_lock_test_and_set(lost, 0) : 0;
  record->process = transfer->process;
  record->direction = transfer->direction;
  record->cause = TAP_CAUSE_NONE;
  record->has_overlaps = flow->has_overlaps;
  record->reserved = 0;
  transfer->offset += length;
  transfer->remaining -= length;
}

static __always_inline void count_loss(struct transfer *transfer, struct flow *flow, __u64 length) {
  __sync_fetch_and_add(&flow->lost[transfer->direction & 1], length);
  __sync_fetch_and_add(&state.losses.transfer_records, 1);
  __sync_fetch_and_add(&state.losses.transfer_bytes, length);
  transfer->offset += length;
  transfer->remaining -= length;
}

// This and record_bytes are global functions, which the verifier checks once by themselves: as static ones they would
// be checked again on each of many paths, too many. Hence the checks for null, and the flow as an argument of its own.
__noinline int record_gap(struct transfer *transfer, struct flow *flow, __u64 length, __u8 cause) {
  if (!transfer || !flow)
    return 0;
  struct tap_transfer_record *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
  if (!record) {
    count_loss(transfer, flow, length);
    return 0;
  }
  fill_transfer_record(record, transfer, flow, length);
  record->kind = TAP_RECORD_GAP;
  record->cause = cause;
  bpf_ringbuf_submit(record, submit_flags(sizeof(*record)));
  return 0;
}

// Room for so many bytes of payload. A reservation of constant size is the cheapest. Powers of two and the sizes halfway
// between them waste at most a third, and a value of 1, 2 or 4 KiB with its command around it is just above a power.
// (64 bits wide, so that the verifier knows the register that is compared and the one that is used for the same value.)
static __always_inline struct tap_transfer_record *reserve_payload(__u64 length) {
#define RESERVE_UP_TO(bytes) \
  if (length <= (bytes)) \
  return bpf_ringbuf_reserve(&ring, sizeof(struct tap_transfer_record) + (bytes), 0)
  RESERVE_UP_TO(64);
  RESERVE_UP_TO(96);
  RESERVE_UP_TO(128);
  RESERVE_UP_TO(192);
  RESERVE_UP_TO(256);
  RESERVE_UP_TO(384);
  RESERVE_UP_TO(512);
  RESERVE_UP_TO(768);
  RESERVE_UP_TO(1024);
  RESERVE_UP_TO(1536);
  RESERVE_UP_TO(2048);
  RESERVE_UP_TO(3072);
  RESERVE_UP_TO(4096);
  RESERVE_UP_TO(6144);
  RESERVE_UP_TO(8192);
  RESERVE_UP_TO(12288);
  RESERVE_UP_TO(16384);
  RESERVE_UP_TO(24576);
  RESERVE_UP_TO(TAP_PAYLOAD_BYTES_MAX);
#undef RESERVE_UP_TO
  return 0;
}

// Records the next `length` bytes, at most TAP_PAYLOAD_BYTES_MAX. Returns whether they are dealt with; if not, a page
// among several is missing, and they must be tried again page by page.
__noinline int record_bytes(struct transfer *transfer, struct flow *flow, __u64 length) {
  if (!transfer || !flow || length > TAP_PAYLOAD_BYTES_MAX)
    return 1;
  __u64 address = transfer->piece_address;
  struct tap_transfer_record *record = reserve_payload(length);
  if (!record) {
    count_loss(transfer, flow, length);
    return 1;
  }
  bool is_missing = read_memory(record + 1, length, address, transfer->pieces_are_in_kernel) != 0;
  if (is_missing && (address & (USER_PAGE_BYTES - 1)) + length > USER_PAGE_BYTES) {
    bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
    return 0;
  }
  fill_transfer_record(record, transfer, flow, length);
  if (is_missing) {
    record->kind = TAP_RECORD_GAP;
    record->cause = TAP_CAUSE_FAULT;
  }
  bpf_ringbuf_submit(record, submit_flags(length));
  return 1;
}

struct transfer_steps {
  struct transfer transfer;
  struct flow *flow;
  __u64 unseen;  // bytes at its beginning that were received where no engine looks
};

// One step of a transfer that takes several: the next iovec, or the next record. Returns 1 at the end.
static long record_piece(__u32 index, void *context) {
  struct transfer_steps *steps = context;
  struct transfer *transfer = &steps->transfer;
  if (!transfer->remaining)
    return 1;
  if (!transfer->piece_length) {
    struct user_iovec piece;
    if (!transfer->iovec_count ||
        read_memory(&piece, sizeof(piece), transfer->iovecs, transfer->iovecs_are_in_kernel)) {
      record_gap(transfer, steps->flow, transfer->remaining, TAP_CAUSE_FAULT);
      return 1;
    }
    transfer->iovecs += sizeof(piece);
    transfer->iovec_count--;
    transfer->piece_address = piece.base;
    transfer->piece_length = piece.length;
    return 0;
  }
  __u64 length = transfer->remaining;
  if (length > TAP_PAYLOAD_BYTES_MAX)
    length = TAP_PAYLOAD_BYTES_MAX;
  if (length > transfer->piece_length)
    length = transfer->piece_length;
  if (transfer->page_by_page) {
    __u32 in_page = USER_PAGE_BYTES - (transfer->piece_address & (USER_PAGE_BYTES - 1));
    if (length > in_page)
      length = in_page;
    if (length > transfer->page_by_page)
      length = transfer->page_by_page;
  }
  if (!record_bytes(transfer, steps->flow, length)) {
    transfer->page_by_page = length;
    return 0;
  }
  if (transfer->page_by_page)
    transfer->page_by_page -= length;
  transfer->piece_address += length;
  transfer->piece_length -= length;
  return 0;
}

// Steps that no transfer exceeds: a call moves less than 2 GiB, which makes at most half a million pages, and has at
// most 1024 iovecs (UIO_MAXIOV).
#define TRANSFER_STEPS_MAX (1 << 20)

static __always_inline void record_transfer(struct transfer_steps *steps) {
  struct transfer *transfer = &steps->transfer;
  __u64 cut = 0;
  if (settings.max_bytes && transfer->remaining > settings.max_bytes) {
    cut = transfer->remaining - settings.max_bytes;
    transfer->remaining = settings.max_bytes;
  }
  __u64 length = transfer->remaining;
  if (length > transfer->piece_length || length > TAP_PAYLOAD_BYTES_MAX ||
      !record_bytes(transfer, steps->flow, length))
    bpf_loop(TRANSFER_STEPS_MAX, record_piece, steps, 0);
  if (cut) {
    transfer->remaining = cut;
    record_gap(transfer, steps->flow, cut, TAP_CAUSE_CUT);
  }
}
