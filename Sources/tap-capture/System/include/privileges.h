// Giving up what is not needed any more, and the barrier that waits for kernel programs.
#pragma once

#include <stdint.h>

// Keeps only the capabilities in `mask` (bit n: capability n), of those that the thread has, and sees to it that it can
// never get more. Threads that it starts later have the same. Returns 0, or an errno.
int tap_keep_capabilities(uint64_t mask);

// Whether the process has this capability in effect.
int tap_has_capability(int capability);

// Returns when every kernel program that was running at the time of the call has ended (membarrier(2), a grace period of
// RCU). Returns 0, or an errno.
int tap_wait_for_kernel_programs(void);
