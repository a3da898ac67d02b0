// TCP's own positions in the streams reveal what the events of calls do not: bytes that left the receive queue where no
// engine looks (splice, TCP_ZEROCOPY_RECEIVE), so that they are a gap instead of a silent hole; and calls of several
// threads that overlapped, so that nobody believes in the order of their bytes.
//
// It is a check, not the offset. It counts the FIN and a skipped urgent byte as well; it means nothing where the bytes
// of the stream are not those that the process gets (kTLS, sockmap, MPTCP); and with several readers another thread's
// bytes may be counted before its event, so then only the end of the flow is checked. (For sending there is nothing to
// reveal: since Linux 6.5 sendfile and splice pass sock_sendmsg like everything else.)
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

// From here on positions are compared. The bytes moved so far, and the `length` that are being moved, end where the
// socket stands now.
static __always_inline void begin_sequence(struct flow *flow, struct tcp_sock *tcp, __u32 length) {
  flow->sequence_base = tcp->copied_seq - length - (__u32)flow->about.moved[TAP_RECEIVED];
  flow->sequence_is_known = true;
}

// How many bytes were received unseen, besides the `length` that are being moved.
static __always_inline __u32 unseen_bytes(struct sock *sk, struct flow *flow, __u32 length) {
  struct tcp_sock *tcp = plain_tcp(sk);
  if (!tcp)
    return 0;
  if (!flow->sequence_is_known) {
    begin_sequence(flow, tcp, length);
    return 0;
  }
  __u32 now = tcp->copied_seq;
  __u32 before = flow->sequence_base + (__u32)flow->about.moved[TAP_RECEIVED];
  __s32 unseen = now - before - length;
  if (unseen <= 0)
    return 0;
  // tcp_recvmsg steps over the urgent byte, and over the FIN once everything in front of it is read.
  __u32 stepped_over = 0;
  if (tcp->urg_seq - before < now - before)
    stepped_over++;
  if (sk->sk_shutdown & RCV_SHUTDOWN && now == tcp->rcv_nxt)
    stepped_over++;
  if (stepped_over > (__u32)unseen)
    stepped_over = unseen;
  flow->sequence_base += stepped_over;
  return unseen - stepped_over;
}

// The same at an event of a thread.
static __always_inline __u32 unseen_before(struct sock *sk, struct flow *flow, __u32 thread, __u32 length) {
  if (flow->reader != thread) {
    if (flow->reader)
      flow->has_several_readers = true;
    flow->reader = thread;
  }
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
  __u32 unseen = is_ours ? unseen_bytes(sk, flow, 0) : 0;
  flow->about.unseen_at_end = unseen;
  flow->about.moved[TAP_RECEIVED] += unseen;
}
