// Attaches the programs of an object, empty-hook.bpf.o, and holds them until its stdin ends.
#include <bpf/libbpf.h>
#include <stdio.h>
#include <unistd.h>

int main(int count, char **arguments)
{
	if (count != 2) {
		fprintf(stderr, "usage: empty-hook OBJECT\n");
		return 64;
	}
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	struct bpf_object *object = bpf_object__open_file(arguments[1], NULL);
	if (!object || bpf_object__load(object)) {
		fprintf(stderr, "empty-hook: cannot load %s\n", arguments[1]);
		return 69;
	}
	struct bpf_program *program;
	bpf_object__for_each_program(program, object) {
		if (!bpf_program__attach(program)) {
			fprintf(stderr, "empty-hook: cannot attach %s\n", bpf_program__name(program));
			return 69;
		}
	}
	puts("ready");
	fflush(stdout);
	char byte;
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
