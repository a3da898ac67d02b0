// Starting the command of `tap-capture -- COMMAND`, held back until the capture is ready.
#pragma once

#include <sys/types.h>

// As whom the command runs.
struct tap_user {
  const char *name;
  const char *home;
  uid_t uid;
  gid_t gid;
};

struct tap_launched {
  pid_t pid;
  int release;  // a byte written here lets the command go; closing it without one ends the process
  int failure;  // gives an errno if the program cannot be executed, and the end of file if it could
};

// Forks a process that waits for its release and then becomes `arguments[0]`, found through PATH. Its standard output is
// our standard error. `user` may be null: the command stays what we are. Returns 0, or an errno.
int tap_launch(char *const arguments[], const struct tap_user *user, struct tap_launched *launched);

// Lets the command go. Returns 0 when the program runs, or the errno of its exec.
int tap_release(struct tap_launched *launched);
