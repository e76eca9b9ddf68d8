// A disk that says what has reached it, for redis-server alone: with LD_PRELOAD, each fdatasync of an append-only file takes
// as long as SERI_DISK_US says, and then notes in <file>.synced how long the file was when it began. Whatever stands
// behind that is what a power cut may take.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <fcntl.h>
#include <unistd.h>

static int synced(int fd, long call) {
	char link[64], path[4096];
	struct stat before;
	int known = fstat(fd, &before) == 0;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 16);
	const char *delay = getenv("SERI_DISK_US");
	if (n > 9 && delay) usleep(atoi(delay));
	int result = syscall(call, fd);
	if (result != 0 || !known || n <= 9) return result;
	path[n] = 0;
	if (strcmp(path + n - 9, ".incr.aof") != 0) return result;
	strcpy(path + n, ".synced");
	int note = open(path, O_WRONLY | O_CREAT, 0644);
	if (note < 0) return result;
	int64_t length = before.st_size;
	if (pwrite(note, &length, sizeof length, 0) != sizeof length) result = -1;
	close(note);
	return result;
}

int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }
int fsync(int fd) { return synced(fd, SYS_fsync); }
