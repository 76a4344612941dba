/* Preloaded: the write-ahead log cannot be synced while the file named in FAILING_SYNCS holds a number above 0. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fails(int descriptor) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 4 || memcmp(path + length - 4, "-wal", 4)) return 0;
    FILE *told = fopen(getenv("FAILING_SYNCS"), "r+");
    int left = 0;
    if (!told) return 0;
    if (fscanf(told, "%d", &left) != 1) left = 0;
    if (left > 0) {
        rewind(told);
        fprintf(told, "%-10d", left - 1);
    }
    fclose(told);
    return left > 0;
}

static int sync_with(const char *name, int descriptor) {
    if (fails(descriptor)) {
        errno = EIO;
        return -1;
    }
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(descriptor);
}

int fsync(int descriptor) { return sync_with("fsync", descriptor); }
int fdatasync(int descriptor) { return sync_with("fdatasync", descriptor); }
