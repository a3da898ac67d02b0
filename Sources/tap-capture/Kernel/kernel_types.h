// The few kernel types that the program looks into, by name only: libbpf finds the real offsets on the running
// kernel (CO-RE), so that no vmlinux.h of any one kernel is needed to build.
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define IPPROTO_TCP 6
#define IPPROTO_MPTCP 262

// include/net/tcp_states.h
enum {
  TCP_ESTABLISHED = 1,
  TCP_SYN_SENT = 2,
  TCP_FIN_WAIT1 = 4,
  TCP_CLOSE = 7,
  TCP_CLOSE_WAIT = 8,
  TCP_LAST_ACK = 9,
  TCP_LISTEN = 10,
};

typedef int pid_t;
typedef unsigned long size_t;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
  unsigned int inum;
};
struct net {
  struct ns_common ns;
};
typedef struct {
  struct net *net;
} possible_net_t;

struct in6_addr {
  union {
    __u8 u6_addr8[16];
  } in6_u;
};

struct proto {
  const void *sendpage;
};
struct sock_common {
  __be32 skc_daddr;
  __be32 skc_rcv_saddr;
  __be16 skc_dport;
  __u16 skc_num;
  unsigned short skc_family;
  volatile unsigned char skc_state;
  struct proto *skc_prot;
  possible_net_t skc_net;
  struct in6_addr skc_v6_daddr;
  struct in6_addr skc_v6_rcv_saddr;
};

struct file;
struct page;
struct sock;
struct socket {
  struct file *file;
  struct sock *sk;
};
struct upid {
  int nr;
};
struct pid {
  unsigned int level;
  struct upid numbers[1];
};
struct sk_buff {
  struct sk_buff *next;
  unsigned int len;
  char cb[48];
};
struct sk_buff_head {
  struct sk_buff *next;
  __u32 qlen;
};
// What a unix socket keeps in the `cb` of a buffer.
struct unix_skb_parms {
  __u32 consumed;
};
struct sock {
  struct sock_common __sk_common;
  struct sk_buff_head sk_receive_queue;
  __u16 sk_type;
  __u16 sk_protocol;
  __u8 sk_shutdown;
  int sk_err;
  __u32 sk_max_ack_backlog;
  struct socket *sk_socket;
  struct pid *sk_peer_pid;
  void *sk_user_data;
};
typedef struct {
  int counter;
} atomic_t;
typedef struct refcount_struct {
  atomic_t refs;
} refcount_t;
struct sockaddr_un {
  unsigned short sun_family;
  char sun_path[108];
};
struct unix_address {
  refcount_t refcnt;
  int len;
  struct sockaddr_un name[1];
};
struct unix_sock {
  struct sock sk;
  struct unix_address *addr;
  struct sock *peer;
};
struct inet_connection_sock {
  const void *icsk_ulp_ops;
};
struct tcp_sock {
  struct inet_connection_sock inet_conn;
  __u32 copied_seq;
  __u32 write_seq;
  __u32 rcv_nxt;
  __u32 snd_una;
  __u32 urg_seq;
  __u16 urg_data;
  __u64 bytes_received;
  __u64 bytes_acked;
};

enum iter_type { ITER_UBUF, ITER_IOVEC, ITER_KVEC };
struct iov_iter {
  __u8 iter_type;
  size_t iov_offset;
  size_t count;
  const void *iov;
  const void *kvec;
  const void *ubuf;
};
struct msghdr {
  struct iov_iter msg_iter;
  unsigned int msg_flags;
};

typedef struct {
  __u32 val;
} kuid_t;
typedef struct {
  __u32 val;
} kgid_t;
struct cred {
  kuid_t euid;
  kgid_t egid;
};

struct qstr {
  const unsigned char *name;
};
struct dentry {
  struct dentry *d_parent;
  struct qstr d_name;
};
struct vfsmount {
  struct dentry *mnt_root;
};
struct mount {
  struct mount *mnt_parent;
  struct dentry *mnt_mountpoint;
  struct vfsmount mnt;
};
struct path {
  struct vfsmount *mnt;
  struct dentry *dentry;
};
struct super_block {
  __u32 s_dev;
};
struct inode {
  struct super_block *i_sb;
  unsigned long i_ino;
};
struct file {
  struct path f_path;
  struct inode *f_inode;
};
struct list_head {
  struct list_head *next;
};
struct fdtable {
  unsigned int max_fds;
  struct file **fd;
};
struct files_struct {
  struct fdtable *fdt;
};
struct fs_struct {
  struct path root;
};
struct mm_struct {
  unsigned long arg_start;
  unsigned long arg_end;
  struct file *exe_file;
};
struct signal_struct {
  atomic_t live;
};
struct thread_info {
  __u32 status;
};
struct kernfs_node {
  __u64 id;
  const char *name;
  struct kernfs_node *parent;
};
struct kernfs_node___6_15 {
  struct kernfs_node *__parent;
};
struct cgroup {
  struct kernfs_node *kn;
};
struct css_set {
  struct cgroup *dfl_cgrp;
};
struct task_struct {
  struct thread_info thread_info;
  unsigned int flags;
  struct mm_struct *mm;
  pid_t pid;
  pid_t tgid;
  struct task_struct *real_parent;
  struct task_struct *group_leader;
  __u64 start_boottime;
  __u64 self_exec_id;
  const struct cred *cred;
  char comm[16];
  struct fs_struct *fs;
  struct files_struct *files;
  struct signal_struct *signal;
  struct css_set *cgroups;
  struct pid *thread_pid;
};
struct linux_binprm;

struct pt_regs {
  unsigned long r10;
  unsigned long r8;
  unsigned long ax;
  unsigned long dx;
  unsigned long si;
  unsigned long di;
  unsigned long orig_ax;
};

struct seq_file;
struct bpf_iter_meta {
  struct seq_file *seq;
};
struct bpf_iter__task {
  struct bpf_iter_meta *meta;
  struct task_struct *task;
};
struct bpf_iter__task_file {
  struct bpf_iter_meta *meta;
  struct task_struct *task;
  __u32 fd;
  struct file *file;
};
struct bpf_iter__unix {
  struct bpf_iter_meta *meta;
  struct unix_sock *unix_sk;
};

#pragma clang attribute pop

// From user memory: their layout is fixed by the system call interface (x86-64).
struct user_iovec {
  __u64 base;
  __u64 length;
};
struct user_message_header {
  __u64 name;
  __u32 name_length;
  __u32 padding;
  __u64 iovecs;
  __u64 iovec_count;
};
