// malloc_trim(3), which Swift's own module of the C library does not show.
#pragma once

#include <malloc.h>
