// sendmmsg and recvmmsg: several messages in one call, an event for each, and the same registers at all of them. Which
// message an event is about is counted, with the thread.
//
// The count is believed only as long as nothing can have ended the call behind its back: the next event of the same
// registers may belong to another call that looks alike. So the loops of __sys_sendmmsg and do_recvmmsg are followed step
// by step, the message that comes next is looked at beforehand, and the length that the kernel stores with each is
// compared with what its event told. In doubt the bytes are a gap.
#pragma once

#include "registers.h"
#include "transfer.h"

// Messages with more pieces than these are not followed.
#define FOLLOWED_IOVECS_MAX 8
// UIO_MAXIOV of include/uapi/linux/uio.h is the most that one sendmmsg takes.
#define SENT_MESSAGES_MAX 1024
// Below it user memory is on every x86-64 kernel (TASK_SIZE_MAX with four levels of pages).
#define USER_MEMORY_END ((1ull << 47) - USER_PAGE_BYTES)

// struct mmsghdr: the layout is fixed by the system call interface (x86-64).
struct user_multi_message {
  struct user_message_header header;
  __u64 control;
  __u64 control_length;
  __u32 flags;
  __u32 padding;
  __u32 length;
  __u32 padding_at_end;
};

enum { CALL_HAS_ENDED, CALL_GOES_ON, CALL_IS_IN_DOUBT };

// The call that a thread is in, or was in last.
struct multi_message_call {
  __u64 number;
  __u64 descriptor;
  __u64 messages;
  __u64 message_count;
  __u32 next;         // the message that the next event is about
  __u32 last_result;  // of the message before
  __u32 state;
};

struct {
  __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct multi_message_call);
} multi_message_calls SEC(".maps");

// The pieces of the message that an event is about.
struct message_place {
  __u64 iovecs;
  __u64 iovec_count;
  bool is_known;
};

// The bytes that a message has room for, or -1 where it does not surely reach the socket: what copy_msghdr_from_user
// refuses, and whatever else happens to it on its way there, ends the call without an event.
static __noinline long plain_message_bytes(__u64 address, struct user_multi_message *message) {
  if (bpf_probe_read_user(message, sizeof(*message), (const void *)address))
    return -1;
  if (message->header.name || message->control_length || message->header.iovec_count > FOLLOWED_IOVECS_MAX)
    return -1;
  __u64 total = 0;
  for (__u32 i = 0; i < FOLLOWED_IOVECS_MAX && i < message->header.iovec_count; i++) {
    struct user_iovec piece;
    if (bpf_probe_read_user(&piece, sizeof(piece), (const void *)(message->header.iovecs + i * sizeof(piece))))
      return -1;
    if (piece.length > 1u << 30 || piece.base >= USER_MEMORY_END - piece.length)
      return -1;
    total += piece.length;
  }
  return total < 1u << 30 ? (long)total : -1;
}

static __always_inline __u64 address_of_message(__u64 messages, __u32 index) {
  return messages + (__u64)index * sizeof(struct user_multi_message);
}

// What becomes of the call behind the event about message `index`.
static __always_inline int state_behind(struct pt_regs *registers, __u32 index, int result, long room, int flags) {
  bool is_sending = registers->orig_ax == CALL_SENDMMSG;
  __u64 count = registers->dx & 0xffffffff;
  if (is_sending && count > SENT_MESSAGES_MAX)
    count = SENT_MESSAGES_MAX;
  if (index + 1 >= count)
    return CALL_HAS_ENDED;
  if (is_sending ? result < room : (flags & MSG_OOB) != 0)
    return CALL_HAS_ENDED;
  // A timeout is looked at between the messages.
  if (!is_sending && registers->r8)
    return CALL_IS_IN_DOUBT;
  struct user_multi_message next;
  return plain_message_bytes(address_of_message(registers->si, index + 1), &next) < 0 ? CALL_IS_IN_DOUBT : CALL_GOES_ON;
}

static __noinline int follow_message(struct multi_message_call *call, struct pt_regs *registers, int result, int flags,
                                     struct message_place *place) {
  bool is_same = call->number == registers->orig_ax && call->descriptor == registers->di &&
                 call->messages == registers->si && call->message_count == registers->dx;
  struct user_multi_message message;
  bool is_known = false;
  __u32 index = 0;
  if (!is_same || call->state == CALL_HAS_ENDED) {
    // The first event of a call; before the census its first ones may have been missed.
    is_known = state.is_census_done;
  } else if (call->state == CALL_GOES_ON) {
    index = call->next;
    is_known = index && plain_message_bytes(address_of_message(registers->si, index - 1), &message) >= 0 &&
               message.length == call->last_result;
  }
  call->number = registers->orig_ax;
  call->descriptor = registers->di;
  call->messages = registers->si;
  call->message_count = registers->dx;
  call->state = CALL_IS_IN_DOUBT;
  if (result < 0)
    call->state = CALL_HAS_ENDED;
  if (result < 0 || !is_known)
    return 0;
  long room = plain_message_bytes(address_of_message(registers->si, index), &message);
  if (room < 0 || result > room)
    return 0;
  place->iovecs = message.header.iovecs;
  place->iovec_count = message.header.iovec_count;
  place->is_known = true;
  call->state = state_behind(registers, index, result, room, flags);
  call->next = index + 1;
  call->last_result = result;
  return 0;
}

// Must see every event of a stream socket, also those that move nothing or are of no interest.
static __always_inline void follow_messages(struct task_struct *task, struct pt_regs *registers, struct sock *sk,
                                            int result, int direction, int flags, struct message_place *place) {
  if (registers->orig_ax != (direction == TAP_SENT ? CALL_SENDMMSG : CALL_RECVMMSG) ||
      cause_not_to_believe(task, registers) != TAP_CAUSE_NONE || !is_descriptor_of(task, registers->di, sk))
    return;
  struct multi_message_call *call =
      bpf_task_storage_get(&multi_message_calls, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
  if (call)
    follow_message(call, registers, result, flags, place);
}

// At the start: who is inside of such a call has had events that nobody saw.
SEC("iter/task")
int doubt_calls_under_way(struct bpf_iter__task *context) {
  struct task_struct *task = context->task;
  if (!task || task->flags & PF_KTHREAD)
    return 0;
  struct pt_regs *registers = (struct pt_regs *)bpf_task_pt_regs(task);
  if (registers->orig_ax != CALL_SENDMMSG && registers->orig_ax != CALL_RECVMMSG)
    return 0;
  struct multi_message_call *call =
      bpf_task_storage_get(&multi_message_calls, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
  if (!call)
    return 0;
  call->number = registers->orig_ax;
  call->descriptor = registers->di;
  call->messages = registers->si;
  call->message_count = registers->dx;
  call->state = CALL_IS_IN_DOUBT;
  return 0;
}
