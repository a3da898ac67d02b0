// Ordered access to the positions that tap-capture and the kernel share (Documentation/bpf/ringbuf.rst): a position or
// a record's header is read before what it guards, and the consumer's position is written after the last use.
#pragma once

#include <stdint.h>

static inline uint64_t tap_load_acquire_64(const void *address) {
  return __atomic_load_n((const uint64_t *)address, __ATOMIC_ACQUIRE);
}

static inline uint32_t tap_load_acquire_32(const void *address) {
  return __atomic_load_n((const uint32_t *)address, __ATOMIC_ACQUIRE);
}

static inline void tap_store_release_64(void *address, uint64_t value) {
  __atomic_store_n((uint64_t *)address, value, __ATOMIC_RELEASE);
}

// The kernel program increments it as well.
static inline void tap_increment_32(uint32_t *counter) { __atomic_fetch_add(counter, 1, __ATOMIC_SEQ_CST); }
