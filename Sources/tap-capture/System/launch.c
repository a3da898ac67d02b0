#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static int become(const struct tap_user *user) {
  if (initgroups(user->name, user->gid) || setgid(user->gid) || setuid(user->uid))
    return errno;
  setenv("HOME", user->home, 1);
  setenv("USER", user->name, 1);
  setenv("LOGNAME", user->name, 1);
  return 0;
}

// Signals as a program expects them: the handlers are gone after exec, what is ignored would stay so.
static void restore_signals(void) {
  const int signals[] = {SIGINT, SIGTERM, SIGPIPE, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
  for (unsigned i = 0; i < sizeof(signals) / sizeof(*signals); i++)
    signal(signals[i], SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

static void run_child(char *const arguments[], const struct tap_user *user, int release, int failure_pipe) {
  restore_signals();
  int failure = dup2(STDERR_FILENO, STDOUT_FILENO) < 0 ? errno : 0;
  if (!failure && user)
    failure = become(user);
  if (!failure) {
    char byte;
    ssize_t count;
    do
      count = read(release, &byte, 1);
    while (count < 0 && errno == EINTR);
    if (count != 1)
      _exit(125);  // tap-capture is gone
    execvp(arguments[0], arguments);
    failure = errno;
  }
  (void)!write(failure_pipe, &failure, sizeof(failure));
  _exit(failure == ENOENT ? 127 : 126);
}

int tap_launch(char *const arguments[], const struct tap_user *user, struct tap_launched *launched) {
  int release[2], failure[2];
  if (pipe2(release, O_CLOEXEC))
    return errno;
  if (pipe2(failure, O_CLOEXEC)) {
    int error = errno;
    close(release[0]);
    close(release[1]);
    return error;
  }
  pid_t pid = fork();
  if (pid == 0) {
    close(release[1]);
    close(failure[0]);
    run_child(arguments, user, release[0], failure[1]);
  }
  int error = errno;
  close(release[0]);
  close(failure[1]);
  if (pid < 0) {
    close(release[1]);
    close(failure[0]);
    return error;
  }
  *launched = (struct tap_launched){.pid = pid, .release = release[1], .failure = failure[0]};
  return 0;
}

int tap_release(struct tap_launched *launched) {
  // A child that failed before has closed its end: SIGPIPE is ignored by then, and its errno is waiting.
  (void)!write(launched->release, "", 1);
  close(launched->release);
  int failure = 0;
  ssize_t count;
  do
    count = read(launched->failure, &failure, sizeof(failure));
  while (count < 0 && errno == EINTR);
  close(launched->failure);
  return count == sizeof(failure) ? failure : 0;
}
