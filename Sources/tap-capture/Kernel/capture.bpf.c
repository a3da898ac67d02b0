// The kernel program of tap-capture: which process moved which bytes over which connection, when.
//
// One of two engines sees the bytes move, and tap-capture loads the programs of that one only; everything else is common.
// Both are in one object, because they share all maps and most of the code. The fentry engine comes first: programs are
// loaded in this order, and where it is refused that should be known before anything else is verified.
#include "engine_fentry.h"

#include "census.h"
#include "engine_tracepoint.h"
#include "process_life.h"

char LICENSE[] SEC("license") = "GPL";
