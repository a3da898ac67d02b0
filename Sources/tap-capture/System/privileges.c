#include "privileges.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/membarrier.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int read_capabilities(struct __user_cap_data_struct data[2]) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  return syscall(SYS_capget, &header, data) == 0 ? 0 : errno;
}

// Nothing that is executed later can have more, whatever its file says. The bounding set takes CAP_SETPCAP to change;
// who starts with file capabilities has not got that, and no_new_privs alone has the same effect.
static int bound_capabilities(uint64_t mask) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    return errno;
  for (int capability = 0; capability < 64 && prctl(PR_CAPBSET_READ, capability) >= 0; capability++)
    if (!(mask >> capability & 1) && prctl(PR_CAPBSET_DROP, capability) && errno != EPERM)
      return errno;
  return 0;
}

int tap_keep_capabilities(uint64_t mask) {
  int bounded = bound_capabilities(mask);
  if (bounded)
    return bounded;
  struct __user_cap_data_struct data[2];
  int failure = read_capabilities(data);
  if (failure)
    return failure;
  for (int word = 0; word < 2; word++) {
    uint32_t kept = (uint32_t)(mask >> (32 * word));
    data[word].effective &= kept;
    data[word].permitted &= kept;
    data[word].inheritable = 0;
  }
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  return syscall(SYS_capset, &header, data) == 0 ? 0 : errno;
}

int tap_has_capability(int capability) {
  struct __user_cap_data_struct data[2];
  return read_capabilities(data) == 0 && (data[capability / 32].effective >> (capability % 32) & 1);
}

int tap_wait_for_kernel_programs(void) {
  return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0 ? 0 : errno;
}
