// The kernel program of tap-capture: which process moved which bytes over which connection, when.
//
// One engine sees the bytes move; everything else is common. The fentry engine takes its place beside the tracepoint
// engine: it finds the bytes another way and ends in record_transfer as well.
#include "census.h"
#include "engine_tracepoint.h"
#include "process_life.h"

char LICENSE[] SEC("license") = "GPL";
