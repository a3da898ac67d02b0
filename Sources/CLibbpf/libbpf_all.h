// What tap-capture uses of libbpf: objects and links (libbpf.h), the bare system calls on maps (bpf.h), and the kernel's
// types (btf.h).
#pragma once

// libpcap has another structure of this name; a Swift target that imports both would see two definitions of one.
#define bpf_insn kernel_bpf_insn
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#undef bpf_insn
