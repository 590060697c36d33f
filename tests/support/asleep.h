// Waits until the other threads of this process do nothing.
#pragma once

#include <dirent.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace gyr::test {

// Sanitizers of GCC 12 take no lock of their own allocator around fork(): where another thread is inside it, the child
// waits for ever at its first allocation. Before a fork every thread must therefore sleep, seen three times in a row.
inline void wait_until_others_sleep() {
  for (int seen = 0; seen < 3;) {
    usleep(1000);
    bool asleep = true;
    DIR* tasks = opendir("/proc/self/task");
    while (dirent* entry = readdir(tasks)) {
      if (entry->d_name[0] == '.' || atoi(entry->d_name) == gettid()) continue;
      char line[256] = "";
      FILE* f = fopen((std::string("/proc/self/task/") + entry->d_name + "/stat").c_str(), "r");
      if (!f) continue;
      if (fgets(line, sizeof line, f)) {
        const char* state = strrchr(line, ')');
        asleep &= state && state[1] == ' ' && state[2] == 'S';
      }
      fclose(f);
    }
    closedir(tasks);
    seen = asleep ? seen + 1 : 0;
  }
}

}  // namespace gyr::test
