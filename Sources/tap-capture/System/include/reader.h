// fopencookie(3), which Swift's own module of the C library does not show.
#pragma once

#include <stdio.h>
#include <sys/types.h>

/// Reads at most `length` bytes into `buffer`: how many, 0 at the end, -1 on failure.
typedef ssize_t tap_read_function(void *context, char *buffer, size_t length);

/// A stream whose bytes come from `read` in pieces of up to `buffer_bytes`; NULL where memory lacks.
FILE *tap_open_reader(void *context, tap_read_function *read, size_t buffer_bytes);
