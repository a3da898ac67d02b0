// What tap-capture uses of libbpf: objects and links (libbpf.h), and the bare system calls on maps (bpf.h).
#pragma once

// libpcap has another structure of this name; a Swift target that imports both would see two definitions of one.
#define bpf_insn kernel_bpf_insn
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#undef bpf_insn
