// The fentry engine (kernel 6.1 and later): programs behind the functions by which stream sockets send and receive. Their
// arguments tell where the bytes are, whatever called them: any system call, of 64 or 32 bits, io_uring, the kernel.
//
// The functions are those that a socket's `struct proto_ops` names, not tcp_sendmsg and tcp_recvmsg below: MPTCP and
// kTLS sockets, and those of a sockmap, do not pass these. What such sockets move in turn over TCP does not come back to
// this level, so nothing is counted twice. And their arguments have been the same since Linux 4.1.
#pragma once

#include "message_memory.h"
#include "moved_bytes.h"
#include <bpf/bpf_tracing.h>

static __always_inline int handle_message(struct socket *socket, struct msghdr *message, __u64 size, int result,
                                          int direction, int message_flags) {
  struct transfer_steps steps;
  if (begin_transfer(&steps, socket->sk, result, direction, message_flags))
    finish_transfer(&steps, find_message_memory(message, size, result, &steps.transfer));
  return 0;
}

#define SENDING_HOOK(function, name) \
  SEC("fexit/" #function) \
  int BPF_PROG(name, struct socket *socket, struct msghdr *message, size_t size, int result) { \
    return handle_message(socket, message, size, result, TAP_SENT, 0); \
  }
#define RECEIVING_HOOK(function, name) \
  SEC("fexit/" #function) \
  int BPF_PROG(name, struct socket *socket, struct msghdr *message, size_t size, int flags, int result) { \
    return handle_message(socket, message, size, result, TAP_RECEIVED, flags); \
  }

SENDING_HOOK(inet_sendmsg, inet_sent)
RECEIVING_HOOK(inet_recvmsg, inet_received)
SENDING_HOOK(inet6_sendmsg, inet6_sent)
RECEIVING_HOOK(inet6_recvmsg, inet6_received)
SENDING_HOOK(unix_stream_sendmsg, unix_sent)
RECEIVING_HOOK(unix_stream_recvmsg, unix_received)

// sendfile and splice before Linux 6.5. Since then they pass sendmsg, with MSG_SPLICE_PAGES.
static __always_inline int handle_page(struct sock *sk, int result) {
  struct transfer_steps steps;
  if (begin_transfer(&steps, sk, result, TAP_SENT, 0))
    finish_transfer(&steps, TAP_CAUSE_SENDFILE);
  return 0;
}

SEC("fexit/inet_sendpage")
int BPF_PROG(inet_sent_page, struct socket *socket, struct page *page, int offset, size_t size, int flags, int result) {
  struct sock *sk = socket->sk;
  // A protocol that has no such function (MPTCP) gets the page by sendmsg, which is counted there.
  return sk->__sk_common.skc_prot->sendpage ? handle_page(sk, result) : 0;
}

SEC("fexit/unix_stream_sendpage")
int BPF_PROG(unix_sent_page, struct socket *socket, struct page *page, int offset, size_t size, int flags, int result) {
  return handle_page(socket->sk, result);
}
