// A stdio stream over a function of the caller: libpcap reads capture files through stdio only.
#define _GNU_SOURCE
#include "reader.h"

FILE *tap_open_reader(void *context, tap_read_function *read, size_t buffer_bytes) {
  cookie_io_functions_t functions = {.read = read};
  FILE *stream = fopencookie(context, "r", functions);
  if (stream != NULL)
    setvbuf(stream, NULL, _IOFBF, buffer_bytes);
  return stream;
}
