// Programs that do nothing, on the hooks of tap-capture's tracepoint engine: what a hook costs before it does anything.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tp_btf/sock_send_length")
int empty_send(void *context)
{
	return 0;
}

SEC("tp_btf/sock_recv_length")
int empty_recv(void *context)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
