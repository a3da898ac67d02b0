// TCP's own positions in the streams reveal what the events of calls do not: bytes that left the receive queue where no
// engine looks (splice, TCP_ZEROCOPY_RECEIVE), so that they are a gap instead of a silent hole; and calls of several
// threads that overlapped, so that nobody believes in the order of their bytes.
//
// It is a check, not the offset. It counts the FIN and a skipped urgent byte as well; it means nothing where the bytes
// of the stream are not those that the process gets (kTLS, sockmap, MPTCP); and with several readers another thread's
// bytes may be counted before its event, so then only the end of the flow is checked. (For sending there is nothing to
// reveal: since Linux 6.5 sendfile and splice pass sock_sendmsg like everything else, and before the fentry engine hooks
// their own way.)
#pragma once

#include "flow.h"

// include/net/sock.h
#define RCV_SHUTDOWN 1
#define SEND_SHUTDOWN 2

static __always_inline struct tcp_sock *plain_tcp(struct sock *sk) {
  if (sk->sk_protocol != IPPROTO_TCP || sk->sk_user_data)
    return 0;
  struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
  return tcp && !tcp->inet_conn.icsk_ulp_ops ? tcp : 0;
}

// How far the process has read. The two sums change one after the other while a packet arrives, so for a moment this may
// be wrong by what has just come.
static __always_inline __u64 read_position(struct tcp_sock *tcp) {
  return tcp->bytes_received - (__u32)(tcp->rcv_nxt - tcp->copied_seq);
}

// From here on positions are compared. The bytes moved so far, and the `length` that are being moved, end where the
// socket stands now.
static __always_inline void begin_sequence(struct flow *flow, struct tcp_sock *tcp, __u32 length) {
  flow->sequence_base = tcp->copied_seq - length - (__u32)flow->about.moved[TAP_RECEIVED];
  flow->position_base = read_position(tcp) - length - flow->about.moved[TAP_RECEIVED];
  flow->urgent = tcp->urg_data ? ~tcp->urg_seq : tcp->urg_seq;
  flow->sequence_is_known = true;
}

// So many steps over urgent bytes may come between two events of a flow on which there are any.
#define URGENT_STEPS_MAX 64

// How many bytes were received unseen, besides the `length` that are being moved.
static __always_inline __u64 unseen_bytes(struct sock *sk, struct flow *flow, __u32 length) {
  struct tcp_sock *tcp = plain_tcp(sk);
  if (!tcp)
    return 0;
  if (!flow->sequence_is_known) {
    begin_sequence(flow, tcp, length);
    return 0;
  }
  __u32 now = tcp->copied_seq;
  __u32 before = flow->sequence_base + (__u32)flow->about.moved[TAP_RECEIVED];
  // Sequence numbers are exact and begin anew at 2^32; the position tells how often they did.
  __s64 unseen = read_position(tcp) - flow->position_base - flow->about.moved[TAP_RECEIVED] - length;
  unseen += (__s32)(now - before - length - (__u32)unseen);
  bool has_urgent = tcp->urg_seq != flow->urgent;
  // The kernel forgets an urgent byte once it is read or stepped over.
  if (!tcp->urg_data)
    flow->urgent = tcp->urg_seq;
  if (unseen <= 0)
    return 0;
  // tcp_recvmsg steps over the FIN once everything in front of it is read, and over the urgent byte; where more urgent ones
  // come, the kernel steps over those before them (tcp_check_urg), and how often is not known.
  __u32 stepped_over = 0;
  if (has_urgent)
    stepped_over += unseen <= URGENT_STEPS_MAX ? URGENT_STEPS_MAX : 1;
  if (sk->sk_shutdown & RCV_SHUTDOWN && now == tcp->rcv_nxt)
    stepped_over++;
  if (stepped_over > unseen)
    stepped_over = unseen;
  flow->sequence_base += stepped_over;
  flow->position_base += stepped_over;
  return unseen - stepped_over;
}

// Buffers that are looked through for bytes that wait.
#define WAITING_BUFFERS_MAX 16

// Bytes that wait in a unix socket, or -1 where there is too much to count. The buffers are the only reader's: nobody
// takes them away, and what is added behind them makes the sum at most too large.
static __noinline long unix_waiting_bytes(struct sock *sk) {
  struct sk_buff *buffer = 0;
  __u32 count = 0;
  bpf_core_read(&count, sizeof(count), &sk->sk_receive_queue.qlen);
  if (count > WAITING_BUFFERS_MAX)
    return -1;
  long bytes = 0;
  bpf_core_read(&buffer, sizeof(buffer), &sk->sk_receive_queue.next);
  for (__u32 i = 0; i < WAITING_BUFFERS_MAX && i < count; i++) {
    __u32 length = 0, consumed = 0;
    bpf_core_read(&length, sizeof(length), &buffer->len);
    bpf_core_read(&consumed, sizeof(consumed), &((struct unix_skb_parms *)&buffer->cb)->consumed);
    bytes += length - consumed;
    bpf_core_read(&buffer, sizeof(buffer), &buffer->next);
  }
  return bytes;
}

// A unix socket has no positions. But what one end has sent either waits at the other or has left it; what has left it and
// is not in its books was received unseen. Both ends must have been seen from their beginning. (The sum of the sender is
// read first: what comes meanwhile is counted by the next event.)
static __always_inline __u64 unseen_by_unix_socket(struct sock *sk, struct flow *flow, __u32 length) {
  struct unix_sock *unix_socket = bpf_skc_to_unix_sock(sk);
  struct sock *peer = unix_socket ? unix_socket->peer : 0;
  struct flow *sender = peer ? bpf_sk_storage_get(&flows, peer, 0, 0) : 0;
  if (!sender || sender->about.is_joined || flow->about.is_joined)
    return 0;
  __u64 sent = *(volatile __u64 *)&sender->about.moved[TAP_SENT];
  long waiting = unix_waiting_bytes(sk);
  __s64 unseen = waiting < 0 ? 0 : sent - waiting - flow->about.moved[TAP_RECEIVED] - length;
  return unseen <= 0 ? 0 : unseen;
}

// The same at an event of a thread.
static __always_inline __u64 unseen_before(struct sock *sk, struct flow *flow, __u32 thread, __u32 length) {
  if (flow->reader != thread) {
    if (flow->reader)
      flow->has_several_readers = true;
    flow->reader = thread;
  }
  if (is_unix_stream(sk))
    return flow->has_several_readers ? 0 : unseen_by_unix_socket(sk, flow, length);
  if (!flow->has_several_readers)
    return unseen_bytes(sk, flow, length);
  if (unseen_bytes(sk, flow, length))
    flow->has_overlaps = true;
  return 0;
}

// `length` bytes have been sent. If no other call has put anything into the stream that is not counted yet, they end where
// the socket stands now. (A FIN counts one.)
static __always_inline void check_order_of_sending(struct sock *sk, struct flow *flow, __u32 length) {
  struct tcp_sock *tcp = plain_tcp(sk);
  if (!tcp || flow->has_overlaps)
    return;
  __u32 now = tcp->write_seq - (__u32)flow->about.moved[TAP_SENT] - length;
  if (!flow->sent_base_is_known) {
    flow->sent_base = now;
    flow->sent_base_is_known = true;
  } else if (now != flow->sent_base && !(now == flow->sent_base + 1 && sk->sk_shutdown & SEND_SHUTDOWN)) {
    flow->has_overlaps = true;
  }
}

// The same when no call is under way any more.
static __always_inline void book_unseen_at_end(struct sock *sk, struct flow *flow) {
  bool is_ours = flow->sequence_is_known && !state.is_stopping;
  __u64 unseen = is_ours ? unseen_bytes(sk, flow, 0) : 0;
  flow->about.unseen_at_end = unseen;
  flow->about.moved[TAP_RECEIVED] += unseen;
}
