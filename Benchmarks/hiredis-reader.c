// The competitor: hiredis' redisReader over RESP bytes in memory, fed in pieces as hiredis reads them from a socket.
// Usage: hiredis-reader FILE…; prints the bytes, the values and the seconds that parsing took, reading files excluded.
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

// redisBufferRead reads this much at a time (hiredis.c).
enum { PIECE_BYTES = 16 << 10 };

static char *read_file(const char *path, size_t *length)
{
	FILE *file = fopen(path, "rb");
	if (!file || fseek(file, 0, SEEK_END)) {
		perror(path);
		exit(66);
	}
	*length = ftell(file);
	rewind(file);
	char *bytes = malloc(*length + 1);
	if (!bytes || fread(bytes, 1, *length, file) != *length) {
		perror(path);
		exit(74);
	}
	fclose(file);
	return bytes;
}

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

// Counts the values of a stream; ends the program where it is not RESP.
static long parse(const char *bytes, size_t length)
{
	redisReader *reader = redisReaderCreate();
	long values = 0;
	for (size_t offset = 0; offset < length; offset += PIECE_BYTES) {
		size_t piece = length - offset < PIECE_BYTES ? length - offset : PIECE_BYTES;
		redisReaderFeed(reader, bytes + offset, piece);
		for (;;) {
			void *value = NULL;
			if (redisReaderGetReply(reader, &value) != REDIS_OK) {
				fprintf(stderr, "hiredis-reader: %s\n", reader->errstr);
				exit(65);
			}
			if (!value)
				break;
			freeReplyObject(value);
			values++;
		}
	}
	redisReaderFree(reader);
	return values;
}

int main(int count, char **arguments)
{
	size_t bytes = 0;
	long values = 0;
	double spent = 0;
	for (int index = 1; index < count; index++) {
		size_t length;
		char *stream = read_file(arguments[index], &length);
		double start = seconds();
		values += parse(stream, length);
		spent += seconds() - start;
		bytes += length;
		free(stream);
	}
	printf("%zu %ld %.6f\n", bytes, values, spent);
	return 0;
}
