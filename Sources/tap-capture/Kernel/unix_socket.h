// Unix stream sockets: who is client and who is server, the names of both ends, and who is at the other one.
//
// Nothing has to be seen of their opening: the sockets themselves keep what tells it. All of it is read once per flow.
#pragma once

#include "maps.h"
#include <bpf/bpf_core_read.h>

// SOCK_SEQPACKET has message boundaries, which a stream of bytes cannot tell.
static __always_inline bool is_unix_stream(const struct sock *sk) {
  return sk->__sk_common.skc_family == AF_UNIX && sk->sk_type == SOCK_STREAM;
}

// The socket has been closed; its memory stays while the other end refers to it (unix_release_sock).
static __always_inline bool is_unix_closed(const struct sock *sk) {
  return sk->__sk_common.skc_state == TCP_CLOSE && !sk->sk_socket;
}

// NULL where it has no name. It stays the socket's until its end.
static __always_inline struct unix_address *unix_address_of(struct sock *sk) {
  struct unix_address *address = 0;
  if (sk)
    bpf_core_read(&address, sizeof(address), &((struct unix_sock *)sk)->addr);
  return address;
}

static __always_inline struct sock *unix_peer_of(struct sock *sk) {
  struct sock *peer = 0;
  bpf_core_read(&peer, sizeof(peer), &((struct unix_sock *)sk)->peer);
  return peer;
}

static __always_inline int unix_address_users(struct unix_address *address) {
  int users = 0;
  bpf_core_read(&users, sizeof(users), &address->refcnt.refs.counter);
  return users;
}

// An accepted socket shares its listener's name (unix_stream_connect), and one without a name cannot listen. So the end
// with a name is the server. A client may have one of its own (bind, or SO_PASSCRED: autobind): then the shared one
// tells. Neither end of a socketpair has a name.
static __noinline int unix_role(struct sock *sk) {
  struct unix_address *local = unix_address_of(sk);
  struct unix_address *remote = unix_address_of(unix_peer_of(sk));
  if (local && remote) {
    bool is_local_shared = unix_address_users(local) > 1, is_remote_shared = unix_address_users(remote) > 1;
    if (is_local_shared == is_remote_shared)
      return TAP_ROLE_UNKNOWN;
    return is_local_shared ? TAP_ROLE_SERVER : TAP_ROLE_CLIENT;
  }
  if (local)
    return TAP_ROLE_SERVER;
  return remote ? TAP_ROLE_CLIENT : TAP_ROLE_UNKNOWN;
}

static __always_inline void read_unix_name(struct tap_address *name, struct unix_address *address) {
  if (!address)
    return;
  int bytes = 0;
  bpf_core_read(&bytes, sizeof(bytes), &address->len);
  bytes -= sizeof(unsigned short);  // sun_family
  if (bytes <= 0)
    return;
  if (bytes > TAP_UNIX_NAME_BYTES)
    bytes = TAP_UNIX_NAME_BYTES;
  if (!bpf_probe_read_kernel(name->bytes, TAP_UNIX_NAME_BYTES, address->name[0].sun_path))
    name->name_length = bytes;
}

static __noinline int describe_unix_ends(struct sock *sk, struct tap_flow_record *about) {
  about->family = TAP_FAMILY_UNIX;
  read_unix_name(&about->local, unix_address_of(sk));
  read_unix_name(&about->remote, unix_address_of(unix_peer_of(sk)));
  // What SO_PEERCRED tells: who connected, or who called listen, or who made the pair.
  struct pid *peer = sk->sk_peer_pid;
  if (peer)
    about->peer_pid = peer->numbers[0].nr;
  return 0;
}
