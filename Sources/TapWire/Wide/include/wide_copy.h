// Copying and looking in one pass, in the widest registers that the processor has.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// What copy_telling_ascii needs at least.
enum { WIDE_COPY_LEAST_BYTES = 128 };

// Copies count bytes, which must not overlap; returns whether all of them are ASCII.
bool copy_telling_ascii(const void *source, void *target, size_t count);
