// What tap-capture's kernel programs are made of, each part by itself, on the same hooks: what an event must cost at least.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

// Of the kernel's structures only what is read here.
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct socket {
	struct sock *sk;
};
struct pt_regs {
	unsigned long si;
};
#pragma clang attribute pop

// As much is kept with a flow; and the record of a small transfer is so long.
#define PAYLOAD_BYTES 64
struct kept {
	char bytes[480];
};
struct record {
	__u64 header[8];
	char payload[PAYLOAD_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct kept);
} storage SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} ring SEC(".maps");

// Results go there, so that no call is left out.
__u64 sink;

static __always_inline int use_storage(struct sock *sk)
{
	struct kept *kept = bpf_sk_storage_get(&storage, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (kept)
		sink = kept->bytes[0];
	return 0;
}

static __always_inline int use_clock(void)
{
	sink = bpf_ktime_get_ns();
	return 0;
}

// A record with its header: that something stands in it is what it is reserved for.
static __always_inline int use_ring(void)
{
	struct record *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record)
		return 0;
	for (int i = 0; i < 8; i++)
		record->header[i] = i;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}

// What moved, if it is no more than that. redis-server and redis-benchmark read and write: the buffer is the second argument.
static __always_inline int use_memory(int result)
{
	__u32 length = (((__u32)result - 1) & (PAYLOAD_BYTES - 1)) + 1;
	struct pt_regs *registers = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	char payload[PAYLOAD_BYTES];
	sink = bpf_probe_read_user(payload, length, (void *)registers->si);
	return 0;
}

#define PARTS(engine, hook, direction, ...) \
	SEC(hook) int BPF_PROG(empty_##engine##direction, __VA_ARGS__) { return 0; } \
	SEC(hook) int BPF_PROG(storage_##engine##direction, __VA_ARGS__) { return use_storage(SOCKET); } \
	SEC(hook) int BPF_PROG(clock_##engine##direction, __VA_ARGS__) { return use_clock(); } \
	SEC(hook) int BPF_PROG(ring_##engine##direction, __VA_ARGS__) { return use_ring(); } \
	SEC(hook) int BPF_PROG(memory_##engine##direction, __VA_ARGS__) { return use_memory(result); }

// t: the hooks of the tracepoint engine.
#define SOCKET sk
PARTS(t, "tp_btf/sock_send_length", sent, struct sock *sk, int result, int flags)
PARTS(t, "tp_btf/sock_recv_length", received, struct sock *sk, int result, int flags)
#undef SOCKET

// f: those of the fentry engine.
#define SOCKET socket->sk
PARTS(f, "fexit/inet_sendmsg", sent, struct socket *socket, void *message, unsigned long size, int result)
PARTS(f, "fexit/inet_recvmsg", received, struct socket *socket, void *message, unsigned long size, int flags, int result)
#undef SOCKET

char LICENSE[] SEC("license") = "GPL";
