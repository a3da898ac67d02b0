// epoll(7), which Swift's own module of the C library does not show.
#pragma once

#include <sys/epoll.h>
