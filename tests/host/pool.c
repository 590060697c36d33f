/* The library's threads: none before the first runtime, named, with the host's signals blocked, gone with the last
 * handle.
 *
 *   pool LIBRARY */
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process.h"
#include "scenario.h"

static api g;
static int failures;
static volatile sig_atomic_t handled_by_others;
static pthread_t main_thread;

#define EXPECT(condition)                                                                         \
  do {                                                                                            \
    if (!(condition)) failures++, fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition); \
  } while (0)

static void on_signal(int number) {
  (void)number;
  if (!pthread_equal(pthread_self(), main_thread)) handled_by_others++;
}

static int field(const char* task, const char* file, const char* name, char* out, size_t size) {
  char path[400], line[400];
  snprintf(path, sizeof path, "/proc/self/task/%s/%s", task, file);
  FILE* f = fopen(path, "r");
  if (!f) return 0;
  int found = 0;
  while (!found && fgets(line, sizeof line, f))
    if (!strncmp(line, name, strlen(name))) {
      snprintf(out, size, "%s", line + strlen(name));
      out[strcspn(out, "\n")] = 0;
      found = 1;
    }
  fclose(f);
  return found;
}

/* Threads called gyr-N, all of which block every signal that can be blocked but those of a fault, which are left open:
   a host's crash handler must run. */
static int library_threads(void) {
  DIR* dir = opendir("/proc/self/task");
  int n = 0;
  for (struct dirent* entry; dir && (entry = readdir(dir));) {
    char name[64], blocked[64];
    if (entry->d_name[0] == '.' || !field(entry->d_name, "comm", "", name, sizeof name)) continue;
    if (strncmp(name, "gyr-", 4)) continue;
    n++;
    if (!field(entry->d_name, "status", "SigBlk:", blocked, sizeof blocked)) continue;
    /* All but SIGKILL, SIGSTOP and the two that glibc keeps for itself. */
    uint64_t wanted = ~((1ull << (SIGKILL - 1)) | (1ull << (SIGSTOP - 1)) | (3ull << 31));
    static const int kFaults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    uint64_t faults = 0;
    for (size_t i = 0; i < sizeof kFaults / sizeof *kFaults; i++) faults |= 1ull << (kFaults[i] - 1);
    /* glibc keeps everything blocked while a thread starts. */
    for (int tries = 0; (strtoull(blocked, NULL, 16) & faults) && tries < 1000; tries++) {
      usleep(1000);
      field(entry->d_name, "status", "SigBlk:", blocked, sizeof blocked);
    }
    EXPECT((strtoull(blocked, NULL, 16) & wanted) == (wanted & ~faults));
  }
  if (dir) closedir(dir);
  return n;
}

static void* destroy(void* runtime) {
  g.runtime_destroy(runtime);
  return NULL;
}

static gyr_runtime* create(uint32_t threads) {
  gyr_error err = GYR_ERROR_INIT;
  gyr_runtime* runtime = NULL;
  gyr_runtime_options o = {.struct_size = sizeof o, .threads = threads};
  EXPECT(g.runtime_create(&o, &runtime, &err) == GYR_OK);
  return runtime;
}

int main(int argc, char** argv) {
  int before = count_threads();
  void* library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  if (!library || load_api(library, &g)) return 2;
  main_thread = pthread_self();
  gyr_error err = GYR_ERROR_INIT;
  uint64_t devices = 0;
  EXPECT(g.device_list(NULL, 0, &devices, &err) == GYR_OK);
  EXPECT(count_threads() == before);
  signal(SIGUSR1, on_signal);
  gyr_runtime *first = create(4), *second = create(3), *lone = create(1);
  EXPECT(count_threads() == before + 3 + 2);
  EXPECT(library_threads() == 5);
  for (int i = 0; i < 200; i++) kill(getpid(), SIGUSR1);
  EXPECT(handled_by_others == 0);
  gyr_cache* cache = NULL;
  gyr_cache_options o = {.struct_size = sizeof o, .dim = 4};
  EXPECT(g.cache_create(first, &o, &cache, &err) == GYR_OK);
  g.runtime_destroy(first); /* its child keeps it */
  EXPECT(library_threads() == 5);
  g.cache_destroy(cache);
  EXPECT(threads_gone(before + 2));
  pthread_t elsewhere;
  pthread_create(&elsewhere, NULL, destroy, second);
  pthread_join(elsewhere, NULL);
  g.runtime_destroy(lone);
  EXPECT(threads_gone(before));
  EXPECT(library_threads() == 0);
  printf("%d failures\n", failures);
  return failures != 0;
}
