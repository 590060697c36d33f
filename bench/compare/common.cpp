#include "common.h"

#include <pthread.h>
#include <unistd.h>

namespace compare {

void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  for (long c = 0; c < n; c++)
    if (cpu < 0 || c == cpu % n) CPU_SET(size_t(c), &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

std::string environment(const char* name, const char* otherwise) {
  const char* text = std::getenv(name);
  return text && *text ? text : otherwise;
}

std::string new_folder() {
  std::string folder = environment("GYR_BENCH_FOLDER", "/var/tmp") + "/gyr-bench-XXXXXX";
  return mkdtemp(folder.data()) ? folder : "";
}

}  // namespace compare
