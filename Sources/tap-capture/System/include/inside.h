// Opening files of somebody else's file system without being led out of it.
#pragma once

// Opens the regular file `path` for reading, resolved as a process whose root is the folder `root` would (openat2(2),
// RESOLVE_IN_ROOT): no link and no `..` leads out of it. Never waits for a FIFO. Returns a descriptor, or -1 and errno.
int tap_open_inside(int root, const char *path);
