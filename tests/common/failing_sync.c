/* Preloaded into a server: fdatasync fails with EIO from the call on that FAIL_SYNC_AFTER counts.
 * The writes before it went to the page cache and seemed to succeed, as on a disk that dies. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

static atomic_long calls;

int fdatasync(int fd) {
    const char *limit = getenv("FAIL_SYNC_AFTER");
    if (limit && atomic_fetch_add(&calls, 1) >= atol(limit)) {
        errno = EIO;
        return -1;
    }
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return real(fd);
}
