// Where the bytes of a call on a socket are in memory, told by its message's iterator.
//
// After the call the iterator has advanced by what was moved, so its beginning is found by walking back. Its layout has
// changed often (iov became __iov in Linux 6.4, types were renumbered in 6.0 and again in 6.5): all of it is looked up
// on the running kernel (CO-RE).
#pragma once

#include "transfer.h"

// include/linux/socket.h
#define MSG_SPLICE_PAGES 0x8000000

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
// Linux 6.4 and later
struct iov_iter___6_4 {
  const void *__iov;
};
#pragma clang attribute pop

struct segment_walk {
  struct transfer *transfer;
  __u64 segment;  // address of the one that was looked at last
  __u64 length;   // bytes of the transfer that end with it
  bool is_found;
};

// One segment back. Returns 1 at the end.
static long step_back(__u32 index, void *context) {
  struct segment_walk *walk = context;
  struct transfer *transfer = walk->transfer;
  struct user_iovec segment;
  walk->segment -= sizeof(segment);
  if (bpf_probe_read_kernel(&segment, sizeof(segment), (const void *)walk->segment))
    return 1;
  transfer->iovec_count++;
  if (walk->length > segment.length) {
    walk->length -= segment.length;
    return 0;
  }
  transfer->piece_address = segment.base + segment.length - walk->length;
  transfer->piece_length = walk->length;
  transfer->iovecs = walk->segment + sizeof(segment);
  walk->is_found = true;
  return 1;
}

// The iterator stands `offset` bytes into the segment at `segment`, or at the end of the one before. The arrays are in
// kernel memory always: system calls copy the user's.
static __always_inline enum tap_gap_cause find_segments(struct transfer *transfer, __u64 length, __u64 segment,
                                                        __u64 offset) {
  transfer->iovecs_are_in_kernel = true;
  if (length <= offset) {
    __u64 base;
    if (bpf_probe_read_kernel(&base, sizeof(base), (const void *)segment))
      return TAP_CAUSE_FAULT;
    transfer->piece_address = base + offset - length;
    transfer->piece_length = length;
    return TAP_CAUSE_NONE;
  }
  struct segment_walk walk = {.transfer = transfer, .segment = segment, .length = length - offset};
  if (!step_back(0, &walk))
    bpf_loop(UIO_MAXIOV, step_back, &walk, 0);
  return walk.is_found ? TAP_CAUSE_NONE : TAP_CAUSE_FAULT;
}

// Finds the bytes of a call that was asked to move `size` bytes and moved `length`; or tells why they cannot be known.
static __always_inline enum tap_gap_cause find_message_memory(struct msghdr *message, __u64 size, __u32 length,
                                                              struct transfer *transfer) {
  struct iov_iter *iterator = &message->msg_iter;
  // An iterator that did not advance by what the call says it moved cannot be walked back: never a guess.
  if (size - iterator->count != length)
    return TAP_CAUSE_OTHER_CALL;
  __u8 type = iterator->iter_type;
  __u64 offset = iterator->iov_offset, start = 0;
  if (type == bpf_core_enum_value(enum iter_type, ITER_UBUF)) {
    bpf_core_read(&start, sizeof(start), &iterator->ubuf);
    transfer->piece_address = start + offset - length;
    transfer->piece_length = length;
    return TAP_CAUSE_NONE;
  }
  if (type == bpf_core_enum_value(enum iter_type, ITER_IOVEC)) {
    struct iov_iter___6_4 *newer = (void *)iterator;
    if (bpf_core_field_exists(newer->__iov))
      bpf_core_read(&start, sizeof(start), &newer->__iov);
    else
      bpf_core_read(&start, sizeof(start), &iterator->iov);
    return find_segments(transfer, length, start, offset);
  }
  if (type == bpf_core_enum_value(enum iter_type, ITER_KVEC)) {
    transfer->pieces_are_in_kernel = true;
    bpf_core_read(&start, sizeof(start), &iterator->kvec);
    return find_segments(transfer, length, start, offset);
  }
  // Pages: of a file or a pipe, a buffer that io_uring has registered, or the kernel's own.
  if (message->msg_flags & MSG_SPLICE_PAGES)
    return TAP_CAUSE_SENDFILE;
  return bpf_get_current_task_btf()->flags & PF_KTHREAD ? TAP_CAUSE_KERNEL_THREAD : TAP_CAUSE_IO_URING;
}
