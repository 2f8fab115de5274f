/* Fails I/O calls on the files of one directory, in a program that is started with LD_PRELOAD=io.so:
 *
 *   IO_PATH   a part of the path; other files are left alone
 *   IO_CALLS  which calls count, joined by commas (below); default: all
 *   IO_FROM   which of the calls that count fails first, from 1; 0: none fails
 *   IO_LAST   the last one that fails; default: IO_FROM
 *   IO_ERROR  the number of the error, or `short`: reads and writes transfer half of the requested bytes
 *   IO_STATE  a file of STATE_BYTES bytes, shared with the check: see `struct state`
 *
 * Calls: `fsync` (fdatasync, sync_file_range), `write` (pwrite, writev), `open` (for writing), `allocate`, `truncate`,
 * `rename`, `link`, `unlink` (rmdir), `mkdir`, `close`; and calls that read: `read` (pread, readv, fread_unlocked,
 * sendfile, copy_file_range), `openr` (open for reading), `stat` (access, statx and the like), `list` (opendir, readdir),
 * `map`.
 *
 * A call that fails has no other effect, except that a failed close does close. The program's own allocator may be
 * jemalloc, so nothing here allocates. Raw system calls (such as rustix's statvfs, and fallocate of the reserves) bypass
 * this library.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define STATE_BYTES (1 << 16)
#define FIRST_BYTES 1000

struct state {
    atomic_long seen;        /* calls that counted */
    atomic_long failed;      /* calls that failed */
    atomic_long recovered;   /* set by the check: from then on, no call fails */
    char first[FIRST_BYTES]; /* the first call that failed, and its path */
    char order[STATE_BYTES - 3 * sizeof(long) - FIRST_BYTES]; /* of each call that counted, its place in `names` */
};

static const char *const names[] = {"fsync", "write", "open", "allocate", "truncate", "rename", "link", "unlink", "mkdir", "close",
                                    "read", "openr", "stat", "list", "map"};

static struct state nothing, *state = &nothing;
static const char *part, *calls;
static long from, last;
static int error, is_short;

__attribute__((constructor)) static void begin(void) {
    const char *text;
    part = getenv("IO_PATH");
    calls = getenv("IO_CALLS");
    from = (text = getenv("IO_FROM")) ? atol(text) : 0;
    last = (text = getenv("IO_LAST")) ? atol(text) : from;
    text = getenv("IO_ERROR");
    is_short = text && strcmp(text, "short") == 0;
    error = text && !is_short ? atoi(text) : EIO;
    if (!(text = getenv("IO_STATE"))) return;
    int file = syscall(SYS_openat, AT_FDCWD, text, O_RDWR | O_CLOEXEC);
    void *map = file < 0 ? MAP_FAILED
                         : (void *)syscall(SYS_mmap, NULL, STATE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (map == MAP_FAILED) abort();
    state = map;
    syscall(SYS_close, file);
}

/* The place of a call in `names`. */
static int place(const char *call) {
    int at = 0;
    while (strcmp(names[at], call) != 0) at++;
    return at;
}

/* Whether a call counts. */
static int counts(const char *call) {
    if (!calls || !*calls) return 1;
    size_t length = strlen(call);
    for (const char *at = calls; (at = strstr(at, call)); at += length) {
        if ((at == calls || at[-1] == ',') && (at[length] == 0 || at[length] == ',')) return 1;
    }
    return 0;
}

/* Whether this call, on `path`, fails. */
static int fails(const char *call, const char *path) {
    if (!part || !path || !strstr(path, part) || !counts(call)) return 0;
    long now = atomic_fetch_add(&state->seen, 1) + 1;
    if (now <= (long)sizeof state->order) state->order[now - 1] = place(call);
    if (from == 0 || now < from || now > last || atomic_load(&state->recovered)) return 0;
    if (atomic_fetch_add(&state->failed, 1) == 0) snprintf(state->first, sizeof state->first, "%s %s", call, path);
    errno = error;
    return 1;
}

static const char *path_of(int file, char *path, size_t room) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, room - 1);
    path[length < 0 ? 0 : length] = 0;
    return path;
}

static int fails_on(const char *call, int file) {
    char path[4096];
    int before = errno;
    int is_failed = part && file >= 0 && fails(call, path_of(file, path, sizeof path));
    if (!is_failed) errno = before;
    return is_failed;
}

/* A name, which may be relative to an open directory. */
static int fails_at(const char *call, int dir, const char *name) {
    char path[8192];
    if (!part) return 0;
    if (!name || !*name) return fails_on(call, dir);
    if (dir == AT_FDCWD || *name == '/') return fails(call, name);
    size_t length = strlen(path_of(dir, path, 4096));
    snprintf(path + length, sizeof path - length, "/%s", name);
    return fails(call, path);
}

/* The bytes that a transfer of `length` may have; -1 if it fails. */
static ssize_t allowed(const char *call, int file, size_t length) {
    if (!fails_on(call, file)) return length;
    if (!is_short) return -1;
    return length > 1 ? length / 2 : length;
}

#define REAL(type, name) ((type)dlsym(RTLD_NEXT, name))

int fsync(int file) { return fails_on("fsync", file) ? -1 : (int)syscall(SYS_fsync, file); }
int fdatasync(int file) { return fails_on("fsync", file) ? -1 : (int)syscall(SYS_fdatasync, file); }
int sync_file_range(int file, off64_t at, off64_t length, unsigned flags) {
    return fails_on("fsync", file) ? -1 : (int)syscall(SYS_sync_file_range, file, at, length, flags);
}

#define TRANSFER(name, type, call, number, extra, ...)                        \
    ssize_t name(int file, type bytes, size_t length extra) {                 \
        ssize_t share = allowed(call, file, length);                           \
        return share < 0 ? -1 : syscall(number, file, bytes, share __VA_ARGS__); \
    }
#define AND ,
TRANSFER(write, const void *, "write", SYS_write, )
TRANSFER(pwrite, const void *, "write", SYS_pwrite64, AND off_t at, AND at)
TRANSFER(pwrite64, const void *, "write", SYS_pwrite64, AND off64_t at, AND at)
TRANSFER(read, void *, "read", SYS_read, )
TRANSFER(pread, void *, "read", SYS_pread64, AND off_t at, AND at)
TRANSFER(pread64, void *, "read", SYS_pread64, AND off64_t at, AND at)

ssize_t writev(int file, const struct iovec *parts, int count) {
    ssize_t share = allowed("write", file, count > 0 ? parts[0].iov_len : 0);
    if (share < 0) return -1;
    if (count > 0 && (size_t)share < parts[0].iov_len) return syscall(SYS_write, file, parts[0].iov_base, share);
    return syscall(SYS_writev, file, parts, count);
}
ssize_t readv(int file, const struct iovec *parts, int count) {
    ssize_t share = allowed("read", file, count > 0 ? parts[0].iov_len : 0);
    if (share < 0) return -1;
    if (count > 0 && (size_t)share < parts[0].iov_len) return syscall(SYS_read, file, parts[0].iov_base, share);
    return syscall(SYS_readv, file, parts, count);
}
#undef fread_unlocked /* a macro where glibc is optimised */
/* The library reads whole blocks below, so a read returns all requested bytes, unless there is an error. */
size_t fread_unlocked(void *bytes, size_t size, size_t count, FILE *file) {
    if (fails_on("read", fileno_unlocked(file)) && !is_short) {
        file->_flags |= 0x20; /* ferror */
        return 0;
    }
    return REAL(size_t(*)(void *, size_t, size_t, FILE *), "fread_unlocked")(bytes, size, count, file);
}
ssize_t sendfile64(int to, int file, off64_t *at, size_t length) {
    ssize_t share = allowed("read", file, length);
    return share < 0 ? -1 : syscall(SYS_sendfile, to, file, at, share);
}
ssize_t copy_file_range(int file, off64_t *at, int to, off64_t *to_at, size_t length, unsigned flags) {
    ssize_t share = allowed("read", file, length);
    return share < 0 ? -1 : syscall(SYS_copy_file_range, file, at, to, to_at, share, flags);
}

int ftruncate(int file, off_t length) {
    return fails_on("truncate", file) ? -1 : (int)syscall(SYS_ftruncate, file, length);
}
int ftruncate64(int file, off64_t length) { return ftruncate(file, length); }
int fallocate(int file, int mode, off_t at, off_t length) {
    return fails_on("allocate", file) ? -1 : (int)syscall(SYS_fallocate, file, mode, at, length);
}
int fallocate64(int file, int mode, off64_t at, off64_t length) { return fallocate(file, mode, at, length); }
int posix_fallocate(int file, off_t at, off_t length) {
    if (fails_on("allocate", file)) return error;
    return REAL(int (*)(int, off_t, off_t), "posix_fallocate")(file, at, length);
}
int close(int file) {
    int is_failed = fails_on("close", file), closed = (int)syscall(SYS_close, file);
    if (is_failed) errno = error;
    return is_failed ? -1 : closed;
}

int rename(const char *from_path, const char *to) {
    return fails("rename", to) ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from_path, AT_FDCWD, to, 0);
}
int link(const char *from_path, const char *to) {
    return fails("link", to) ? -1 : (int)syscall(SYS_linkat, AT_FDCWD, from_path, AT_FDCWD, to, 0);
}
int unlinkat(int dir, const char *name, int flags) {
    return fails_at("unlink", dir, name) ? -1 : (int)syscall(SYS_unlinkat, dir, name, flags);
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int mkdir(const char *path, mode_t mode) {
    return fails("mkdir", path) ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

static int opens(int dir, const char *path, int flags, mode_t mode) {
    const char *call = (flags & O_ACCMODE) == O_RDONLY ? "openr" : "open";
    return fails_at(call, dir, path) ? -1 : (int)syscall(SYS_openat, dir, path, flags, mode);
}
#define OPENER(name, arguments, dir)                                  \
    int name(arguments const char *path, int flags, ...) {            \
        va_list more;                                                 \
        va_start(more, flags);                                        \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more);                                                 \
        return opens(dir, path, flags, mode);                         \
    }
OPENER(open, , AT_FDCWD)
OPENER(open64, , AT_FDCWD)
OPENER(openat, int dir AND, dir)
OPENER(openat64, int dir AND, dir)

int access(const char *path, int mode) {
    return fails("stat", path) ? -1 : (int)syscall(SYS_faccessat, AT_FDCWD, path, mode);
}
int statx(int dir, const char *restrict path, int flags, unsigned mask, struct statx *restrict found) {
    return fails_at("stat", dir, path) ? -1 : (int)syscall(SYS_statx, dir, path, flags, mask, found);
}
#define STAT(name, arguments, failing, pass)                                   \
    int name(arguments) {                                                      \
        return failing ? -1 : REAL(int (*)(arguments), #name)(pass);           \
    }
STAT(stat, const char *path AND struct stat *found, fails("stat", path), path AND found)
STAT(stat64, const char *path AND struct stat64 *found, fails("stat", path), path AND found)
STAT(lstat64, const char *path AND struct stat64 *found, fails("stat", path), path AND found)
STAT(fstat, int file AND struct stat *found, fails_on("stat", file), file AND found)
STAT(fstat64, int file AND struct stat64 *found, fails_on("stat", file), file AND found)
STAT(fstatat64, int dir AND const char *path AND struct stat64 *found AND int flags, fails_at("stat", dir, path),
     dir AND path AND found AND flags)

DIR *opendir(const char *path) { return fails("list", path) ? NULL : REAL(DIR *(*)(const char *), "opendir")(path); }
DIR *fdopendir(int file) { return fails_on("list", file) ? NULL : REAL(DIR *(*)(int), "fdopendir")(file); }
struct dirent *readdir(DIR *dir) {
    return fails_on("list", dirfd(dir)) ? NULL : REAL(struct dirent * (*)(DIR *), "readdir")(dir);
}
struct dirent64 *readdir64(DIR *dir) {
    return fails_on("list", dirfd(dir)) ? NULL : REAL(struct dirent64 * (*)(DIR *), "readdir64")(dir);
}

void *mmap(void *address, size_t length, int access, int flags, int file, off_t at) {
    if (file >= 0 && fails_on("map", file)) return MAP_FAILED;
    return (void *)syscall(SYS_mmap, address, length, access, flags, file, at);
}
void *mmap64(void *address, size_t length, int access, int flags, int file, off64_t at) {
    return mmap(address, length, access, flags, file, at);
}
