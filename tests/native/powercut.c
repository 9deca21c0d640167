/* Writes down, in order, what a process does to the files below $POWERCUT_ROOT: each write, cut, name and sync. From these
 * notes tests/helpers_powercut.py makes the disks that a power cut might have left. Preload it (LD_PRELOAD).
 *
 * A note is: kind, then lengths of path, of second path or data (u32), offset (u64), path, second path or data.
 * L hard link, W write, T cut to a length, S sync of a file, D sync of a folder, C new file, R rename, U unlink, M new folder, X folder removed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int notes = -1;
static const char *root;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(type, name, ...) static type (*name##_)(__VA_ARGS__); if (!name##_) name##_ = dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
    root = getenv("POWERCUT_ROOT");
    const char *target = getenv("POWERCUT_NOTES");
    if (root && target) notes = (int)syscall(SYS_openat, AT_FDCWD, target, O_WRONLY | O_CREAT | O_APPEND, 0600);
}

static ssize_t put(const void *data, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    return write_(notes, data, size);
}

static int ours(const char *path) { return notes >= 0 && root && !strncmp(path, root, strlen(root)) && !strstr(path, "-shm"); }

static int name_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return ours(path);
}

static void absolute(int folder, const char *name, char *path) {
    if (name[0] == '/') { snprintf(path, PATH_MAX, "%s", name); return; }
    char base[PATH_MAX] = "";
    if (folder == AT_FDCWD) { if (!getcwd(base, sizeof base)) return; }
    else { char link[64]; snprintf(link, sizeof link, "/proc/self/fd/%d", folder); ssize_t n = readlink(link, base, PATH_MAX - 1); if (n >= 0) base[n] = 0; }
    if (snprintf(path, PATH_MAX, "%s/%s", base, name) >= PATH_MAX) path[0] = 0;
}

static void note(char kind, const char *path, const void *more, uint32_t size, uint64_t offset) {
    uint32_t length = (uint32_t)strlen(path);
    char *all = malloc(17 + length + size);
    all[0] = kind;
    memcpy(all + 1, &length, 4); memcpy(all + 5, &size, 4); memcpy(all + 9, &offset, 8);
    memcpy(all + 17, path, length); memcpy(all + 17 + length, more, size);
    put(all, 17 + length + size);
    free(all);
}

#define DO(result, call, when, ...) do { pthread_mutex_lock(&lock); result = call; int kept = errno; if (when) note(__VA_ARGS__); \
    errno = kept; pthread_mutex_unlock(&lock); } while (0)

#define PWRITE(name, offset_type) ssize_t name(int fd, const void *data, size_t size, offset_type at) { \
    REAL(ssize_t, name, int, const void *, size_t, offset_type); char path[PATH_MAX]; ssize_t done; \
    if (!name_of(fd, path)) return name##_(fd, data, size, at); \
    DO(done, name##_(fd, data, size, at), done > 0, 'W', path, data, (uint32_t)done, (uint64_t)at); return done; }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    char path[PATH_MAX];
    ssize_t done;
    if (!name_of(fd, path)) return write_(fd, data, size);
    int append = fcntl(fd, F_GETFL) & O_APPEND;
    off_t at = lseek(fd, 0, append ? SEEK_END : SEEK_CUR);
    DO(done, write_(fd, data, size), done > 0, 'W', path, data, (uint32_t)done, (uint64_t)at);
    return done;
}

#define CUT(name, offset_type) int name(int fd, offset_type size) { REAL(int, name, int, offset_type); char path[PATH_MAX]; int done; \
    if (!name_of(fd, path)) return name##_(fd, size); DO(done, name##_(fd, size), !done, 'T', path, "", 0, (uint64_t)size); return done; }
CUT(ftruncate, off_t)
CUT(ftruncate64, off64_t)

static int sync_kind(int fd) { struct stat s; return !fstat(fd, &s) && S_ISDIR(s.st_mode) ? 'D' : 'S'; }
#define SYNC(name) int name(int fd) { REAL(int, name, int); char path[PATH_MAX]; int done; if (!name_of(fd, path)) return name##_(fd); \
    DO(done, 0, 1, (char)sync_kind(fd), path, "", 0, 0); return done; }
SYNC(fsync)
SYNC(fdatasync)

static int opened(int folder, const char *name, int flags, mode_t mode) {
    REAL(int, openat, int, const char *, int, ...);
    char path[PATH_MAX] = "";
    int fd;
    absolute(folder, name, path);
    if (!ours(path)) return openat_(folder, name, flags, mode);
    int was = access(path, F_OK) == 0;
    DO(fd, openat_(folder, name, flags, mode), fd >= 0 && (flags & O_CREAT) && !was, 'C', path, "", 0, 0);
    if (fd >= 0 && was && (flags & O_TRUNC)) { pthread_mutex_lock(&lock); note('T', path, "", 0, 0); pthread_mutex_unlock(&lock); }
    return fd;
}
#define MODE mode_t mode = 0; if (flags & O_CREAT) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }
int open(const char *name, int flags, ...) { MODE return opened(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE return opened(AT_FDCWD, name, flags, mode); }
int openat(int folder, const char *name, int flags, ...) { MODE return opened(folder, name, flags, mode); }
int openat64(int folder, const char *name, int flags, ...) { MODE return opened(folder, name, flags, mode); }

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    char a[PATH_MAX] = "", b[PATH_MAX] = "";
    int done;
    absolute(AT_FDCWD, from, a); absolute(AT_FDCWD, to, b);
    DO(done, rename_(from, to), !done && ours(a), 'R', a, b, (uint32_t)strlen(b), 0);
    return done;
}

int link(const char *from, const char *to) {
    REAL(int, link, const char *, const char *);
    char a[PATH_MAX] = "", b[PATH_MAX] = "";
    int done;
    absolute(AT_FDCWD, from, a);
    absolute(AT_FDCWD, to, b);
    DO(done, link_(from, to), !done && ours(a), 'L', a, b, (uint32_t)strlen(b), 0);
    return done;
}

#define GONE(name, kind) int name(const char *file) { REAL(int, name, const char *); char path[PATH_MAX] = ""; int done; \
    absolute(AT_FDCWD, file, path); DO(done, name##_(file), !done && ours(path), kind, path, "", 0, 0); return done; }
GONE(unlink, 'U')
GONE(rmdir, 'X')

int mkdir(const char *name, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t);
    char path[PATH_MAX] = "";
    int done;
    absolute(AT_FDCWD, name, path);
    DO(done, mkdir_(name, mode), !done && ours(path), 'M', path, "", 0, 0);
    return done;
}
