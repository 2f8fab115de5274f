/* Fails one call of the operating system in a program that is started with LD_PRELOAD=io.so:
 *
 *   IO_CALL   fsync (fdatasync counts as one), write (pwrite, writev and pwritev count), rename, unlink, open or truncate
 *   IO_PATH   a part of the path; other files are left alone (default: every path)
 *   IO_AT     which of the calls fails, counted from 1; 0 fails none
 *   IO_LAST   the last one that fails (default: IO_AT)
 *   IO_ERRNO  the number of the error (default 5, EIO)
 *   IO_COUNT  a file that gets the number of calls seen, as text, whenever it changes
 *
 * A call that fails does nothing else. The program's own allocator may be jemalloc: nothing here allocates.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long seen;

static long number(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text && *text ? atol(text) : otherwise;
}

/* Whether this call, on `path`, is the one to fail. */
static int fails(const char *call, const char *path) {
    const char *wanted = getenv("IO_CALL"), *part = getenv("IO_PATH"), *count = getenv("IO_COUNT");
    if (!wanted || strcmp(wanted, call) != 0) return 0;
    if (part && *part && (!path || !strstr(path, part))) return 0;
    long now = atomic_fetch_add(&seen, 1) + 1, at = number("IO_AT", 0);
    if (count && *count) {
        char text[32];
        int length = snprintf(text, sizeof text, "%ld\n", now);
        int file = syscall(SYS_openat, AT_FDCWD, count, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        /* Numbers only get longer: nobody reads half of one, or none. */
        if (file >= 0) {
            syscall(SYS_write, file, text, length);
            syscall(SYS_close, file);
        }
    }
    if (at == 0 || now < at || now > number("IO_LAST", at)) return 0;
    errno = (int)number("IO_ERRNO", EIO);
    return 1;
}

static int fails_on(const char *call, int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    return fails(call, path);
}

#define REAL(type, name) ((type)dlsym(RTLD_NEXT, name))

int fsync(int file) { return fails_on("fsync", file) ? -1 : (int)syscall(SYS_fsync, file); }
int fdatasync(int file) { return fails_on("fsync", file) ? -1 : (int)syscall(SYS_fdatasync, file); }

ssize_t write(int file, const void *bytes, size_t length) {
    return fails_on("write", file) ? -1 : syscall(SYS_write, file, bytes, length);
}
ssize_t pwrite(int file, const void *bytes, size_t length, off_t at) {
    return fails_on("write", file) ? -1 : syscall(SYS_pwrite64, file, bytes, length, at);
}
ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t at) {
    return fails_on("write", file) ? -1 : syscall(SYS_pwrite64, file, bytes, length, at);
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    return fails_on("write", file) ? -1 : syscall(SYS_writev, file, parts, count);
}
int rename(const char *from, const char *to) {
    return fails("rename", to) ? -1 : (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}
int unlink(const char *path) { return fails("unlink", path) ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0); }
int ftruncate(int file, off_t length) {
    return fails_on("truncate", file) ? -1 : (int)syscall(SYS_ftruncate, file, length);
}
int ftruncate64(int file, off64_t length) {
    return fails_on("truncate", file) ? -1 : (int)syscall(SYS_ftruncate, file, length);
}

typedef int opener(const char *, int, ...);
static int opens(const char *name, const char *path, int flags, mode_t mode) {
    if ((flags & O_ACCMODE) != O_RDONLY && fails("open", path)) return -1;
    return REAL(opener *, name)(path, flags, mode);
}
int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return opens("open", path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return opens("open64", path, flags, mode);
}
