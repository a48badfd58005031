// Refuses what a disk in trouble would refuse, for files below FAILING_DISK_DIRECTORY. Preloaded; see disk.rs.
// The page of the file that FAILING_DISK names is shared: what ails the disk, how many bytes it still takes, and how many
// calls were refused. Nothing here allocates or locks, so signal handlers and any thread may write.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WORKS, FULL, READ_ONLY, UNSYNCED };

struct disk {
  int64_t ailment, room, refused;
};

static struct disk *disk;
static const char *directory;
static size_t length;

__attribute__((constructor)) static void load(void) {
  static const char complaint[] = "failing disk: FAILING_DISK or FAILING_DISK_DIRECTORY is wrong\n";
  const char *path = getenv("FAILING_DISK");
  directory = getenv("FAILING_DISK_DIRECTORY");
  int file = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
  void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *disk, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (page == MAP_FAILED || !directory) {
    syscall(SYS_write, STDERR_FILENO, complaint, sizeof complaint - 1);
    _exit(97);
  }
  close(file);
  length = strlen(directory);
  disk = page;
}

static int64_t ailment(void) { return disk ? __atomic_load_n(&disk->ailment, __ATOMIC_SEQ_CST) : WORKS; }

static int refuse(int error) {
  __atomic_fetch_add(&disk->refused, 1, __ATOMIC_SEQ_CST);
  errno = error;
  return -1;
}

static int below(const char *path, size_t size) {
  return size > length && memcmp(path, directory, length) == 0 && path[length] == '/';
}

static int named(const char *path) { return below(path, strlen(path)); }

// Whether the open file is one of the disk's.
static int ours(int file) {
  char link[32], path[PATH_MAX];
  int before = errno;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t size = readlink(link, path, sizeof path);
  errno = before;
  return size > 0 && below(path, (size_t)size);
}

// How many of the bytes may be written: all, the first ones, or -1 and the error.
static ssize_t allowed(int file, size_t bytes) {
  int64_t ill = ailment();
  if ((ill != FULL && ill != READ_ONLY) || !ours(file)) return (ssize_t)bytes;
  if (ill == READ_ONLY) return refuse(EROFS);
  int64_t room = __atomic_load_n(&disk->room, __ATOMIC_SEQ_CST), taken;
  do {
    taken = room < (int64_t)bytes ? room : (int64_t)bytes;
  } while (!__atomic_compare_exchange_n(&disk->room, &room, room - taken, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
  return taken > 0 || bytes == 0 ? (ssize_t)taken : refuse(ENOSPC);
}

ssize_t write(int file, const void *bytes, size_t count) {
  ssize_t few = allowed(file, count);
  return few < 0 ? -1 : syscall(SYS_write, file, bytes, (size_t)few);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) {
  ssize_t few = allowed(file, count);
  return few < 0 ? -1 : syscall(SYS_pwrite64, file, bytes, (size_t)few, offset);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) { return pwrite64(file, bytes, count, offset); }

// Cuts to the first part: fewer bytes than asked for are a short write all the same.
ssize_t writev(int file, const struct iovec *parts, int count) {
  int64_t ill = ailment();
  if ((ill == FULL || ill == READ_ONLY) && ours(file)) return count ? write(file, parts[0].iov_base, parts[0].iov_len) : 0;
  return syscall(SYS_writev, file, parts, count);
}

// A file may always be cut; a longer one has holes, which take no room.
int ftruncate64(int file, off64_t size) {
  if (ailment() == READ_ONLY && ours(file)) return refuse(EROFS);
  return (int)syscall(SYS_ftruncate, file, size);
}

int ftruncate(int file, off_t size) { return ftruncate64(file, size); }

static int grow(int file) {
  int64_t ill = ailment();
  if ((ill != FULL && ill != READ_ONLY) || !ours(file)) return 0;
  return refuse(ill == FULL ? ENOSPC : EROFS);
}

int fallocate64(int file, int mode, off64_t offset, off64_t size) {
  return grow(file) ? -1 : (int)syscall(SYS_fallocate, file, mode, offset, size);
}

int fallocate(int file, int mode, off_t offset, off_t size) { return fallocate64(file, mode, offset, size); }

int posix_fallocate64(int file, off64_t offset, off64_t size) {
  int before = errno, failed = fallocate64(file, 0, offset, size) ? errno : 0;
  errno = before;
  return failed;
}

int posix_fallocate(int file, off_t offset, off_t size) { return posix_fallocate64(file, offset, size); }

int fsync(int file) {
  if (ailment() == UNSYNCED && ours(file)) return refuse(EIO);
  return (int)syscall(SYS_fsync, file);
}

int fdatasync(int file) {
  if (ailment() == UNSYNCED && ours(file)) return refuse(EIO);
  return (int)syscall(SYS_fdatasync, file);
}

// A name that is made, opened for writing, or removed. A full disk lets go of names, and of old files.
static int named_in_vain(const char *path, int flags) {
  int64_t ill = ailment();
  if ((ill != FULL && ill != READ_ONLY) || !named(path)) return 0;
  if (ill == READ_ONLY && (flags & (O_ACCMODE | O_CREAT | O_TRUNC))) return refuse(EROFS);
  if (ill == FULL && (flags & O_CREAT) && access(path, F_OK) != 0) return refuse(ENOSPC);
  return 0;
}

int openat64(int at, const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return named_in_vain(path, flags) ? -1 : (int)syscall(SYS_openat, at, path, flags, mode);
}

int openat(int at, const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return openat64(at, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return openat64(AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return openat64(AT_FDCWD, path, flags, mode);
}

int unlink(const char *path) {
  if (ailment() == READ_ONLY && named(path)) return refuse(EROFS);
  return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int mkdir(const char *path, mode_t mode) {
  return named_in_vain(path, O_CREAT) ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}
