// Loads those programs of an object whose names begin with one of the words, attaches them and holds them until its stdin
// ends. Empties their ring, as a reader does.
#include <bpf/libbpf.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool is_wanted(struct bpf_program *program, char **words)
{
	for (; *words; words++)
		if (!strncmp(bpf_program__name(program), *words, strlen(*words)))
			return true;
	return false;
}

static int forget(void *context, void *record, size_t length)
{
	return 0;
}

int main(int count, char **arguments)
{
	if (count < 3) {
		fprintf(stderr, "usage: hold-programs OBJECT PREFIX…\n");
		return 64;
	}
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	struct bpf_object *object = bpf_object__open_file(arguments[1], NULL);
	struct bpf_program *program;
	if (object)
		bpf_object__for_each_program(program, object)
			bpf_program__set_autoload(program, is_wanted(program, arguments + 2));
	if (!object || bpf_object__load(object)) {
		fprintf(stderr, "hold-programs: cannot load %s\n", arguments[1]);
		return 69;
	}
	bpf_object__for_each_program(program, object) {
		if (is_wanted(program, arguments + 2) && !bpf_program__attach(program)) {
			fprintf(stderr, "hold-programs: cannot attach %s\n", bpf_program__name(program));
			return 69;
		}
	}
	struct bpf_map *map = bpf_object__find_map_by_name(object, "ring");
	struct ring_buffer *ring = map ? ring_buffer__new(bpf_map__fd(map), forget, NULL, NULL) : NULL;
	if (!ring) {
		fprintf(stderr, "hold-programs: cannot read the ring of %s\n", arguments[1]);
		return 69;
	}
	puts("ready");
	fflush(stdout);
	struct pollfd input = {.fd = 0, .events = POLLIN};
	while (!poll(&input, 1, 10))
		ring_buffer__consume(ring);
	return 0;
}
