/* Preloaded into a program under test: opens of /dev/gpiochip* and all GPIO ioctls go to a simulated chip.
 *
 * $GPIO_SIMULATOR names a SOCK_SEQPACKET socket. The chip's logic lives in the simulator; here requests are only
 * carried there and back. A descriptor that the kernel would hand out is a real socket that arrives with the
 * answer, so poll, read, close, dup and the end of the process work on it as on the real thing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/gpio.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_FD 4096
#define MAX_ARG 1024

struct question { uint64_t object; uint32_t request, length; unsigned char arg[MAX_ARG]; };
struct answer { int32_t result, error; uint64_t object; unsigned char arg[MAX_ARG]; };

/* Which simulated object a descriptor stands for; holds only while the inode is the same. */
static struct { ino_t inode; uint64_t object; } objects[MAX_FD];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int control = -1;
static pid_t control_owner;

static int connected(void) {
  if (control >= 0 && control_owner == getpid()) return 1;
  const char *path = getenv("GPIO_SIMULATOR");
  if (!path) return 0;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  control = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  control_owner = getpid();
  if (connect(control, (struct sockaddr *)&address, sizeof address) == 0) return 1;
  close(control);
  control = -1;
  return 0;
}

/* One question and its answer. Returns -1 with errno as the kernel would; *fd is the descriptor that came along. */
static int ask(struct question *q, struct answer *a, int *fd) {
  union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } ancillary;
  struct iovec part = {a, sizeof *a};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1,
                           .msg_control = ancillary.bytes, .msg_controllen = sizeof ancillary.bytes};
  *fd = -1;
  pthread_mutex_lock(&lock);
  ssize_t got = -1;
  if (connected()) {
    got = send(control, q, 16 + q->length, MSG_NOSIGNAL);
    if (got > 0) got = recvmsg(control, &message, MSG_CMSG_CLOEXEC);
    if (got <= 0) { close(control); control = -1; }
  }
  pthread_mutex_unlock(&lock);
  if (got <= 0) { errno = q->object ? ENODEV : ENOENT; return -1; } /* the chip was unplugged */
  struct cmsghdr *c = CMSG_FIRSTHDR(&message);
  if (c && c->cmsg_type == SCM_RIGHTS) memcpy(fd, CMSG_DATA(c), sizeof(int));
  if (*fd >= 0 && *fd < MAX_FD) {
    struct stat s;
    fstat(*fd, &s);
    objects[*fd].inode = s.st_ino;
    objects[*fd].object = a->object;
  }
  if (a->result < 0) errno = a->error;
  return a->result;
}

static int is_chip(const char *path) { return getenv("GPIO_SIMULATOR") && !strncmp(path, "/dev/gpiochip", 13); }

static int open_chip(const char *path) {
  struct question q = {.object = 0, .length = strlen(path)};
  struct answer a;
  int fd;
  memcpy(q.arg, path, q.length);
  return ask(&q, &a, &fd) < 0 ? -1 : fd;
}

static mode_t mode_of(int flags, va_list more) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; }

typedef int (*open_variadic)(const char *, int, ...);
typedef int (*open_plain)(const char *, int);
typedef int (*openat_variadic)(int, const char *, int, ...);
typedef int (*ioctl_variadic)(int, unsigned long, ...);

#define REAL(name, type) static type real; if (!real) real = (type)dlsym(RTLD_NEXT, #name)
#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    if (is_chip(path)) return open_chip(path); \
    REAL(name, open_variadic); \
    va_list more; va_start(more, flags); mode_t mode = mode_of(flags, more); va_end(more); \
    return real(path, flags, mode); }
#define OPEN_2(name) \
  int name(const char *path, int flags) { \
    if (is_chip(path)) return open_chip(path); \
    REAL(name, open_plain); \
    return real(path, flags); }
#define OPENAT(name) \
  int name(int directory, const char *path, int flags, ...) { \
    if (is_chip(path)) return open_chip(path); \
    REAL(name, openat_variadic); \
    va_list more; va_start(more, flags); mode_t mode = mode_of(flags, more); va_end(more); \
    return real(directory, path, flags, mode); }

OPEN(open) OPEN(open64) OPEN_2(__open_2) OPEN_2(__open64_2) OPENAT(openat) OPENAT(openat64)

int ioctl(int fd, unsigned long request, ...) {
  va_list more; va_start(more, request); void *arg = va_arg(more, void *); va_end(more);
  if (_IOC_TYPE(request) == 0xB4 && fd >= 0 && fd < MAX_FD && objects[fd].object) {
    struct stat s;
    if (!fstat(fd, &s) && s.st_ino == objects[fd].inode) {
      struct question q = {.object = objects[fd].object, .request = request, .length = _IOC_SIZE(request)};
      struct answer a;
      int line;
      memcpy(q.arg, arg, q.length);
      int result = ask(&q, &a, &line);
      if (result >= 0) {
        memcpy(arg, a.arg, q.length);
        if (request == GPIO_V2_GET_LINE_IOCTL) ((struct gpio_v2_line_request *)arg)->fd = line;
      }
      return result;
    }
  }
  REAL(ioctl, ioctl_variadic);
  return real(fd, request, arg);
}
