#include "process.h"

#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int entries(const char* path) {
  DIR* dir = opendir(path);
  if (!dir) exit(94);
  int n = 0;
  for (struct dirent* entry; (entry = readdir(dir));) n += entry->d_name[0] != '.';
  closedir(dir);
  return n;
}

int count_threads(void) { return entries("/proc/self/task"); }

int open_files(void) { return entries("/proc/self/fd") - 1; /* the folder itself */ }

int count_mappings(void) {
  FILE* maps = fopen("/proc/self/maps", "r");
  if (!maps) exit(94);
  int lines = 0;
  for (int c; (c = fgetc(maps)) != EOF;) lines += c == '\n';
  fclose(maps);
  return lines;
}

int threads_gone(int expected) {
  struct timespec moment = {0, 1000000};
  for (int i = 0; i < 2000; i++) {
    if (count_threads() == expected) return 1;
    nanosleep(&moment, NULL);
  }
  return 0;
}

uint64_t environment_sum(void) {
  extern char** environ;
  uint64_t sum = 0;
  for (char** variable = environ; *variable; variable++) {
    uint64_t hash = 14695981039346656037u;
    for (const char* c = *variable; *c; c++) hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    sum += hash;
  }
  return sum;
}

size_t heap_in_use(void) {
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

void capture_output(int pipes[2][2], int saved[2]) {
  fflush(NULL);
  for (int i = 0; i < 2; i++) {
    if (pipe2(pipes[i], O_NONBLOCK | O_CLOEXEC)) exit(93);
    saved[i] = dup(i + 1);
    dup2(pipes[i][1], i + 1);
  }
}

size_t release_output(int pipes[2][2], int saved[2]) {
  size_t total = 0;
  fflush(NULL);
  for (int i = 0; i < 2; i++) {
    dup2(saved[i], i + 1);
    close(saved[i]);
  }
  for (int i = 0; i < 2; i++) {
    char buffer[4096];
    ssize_t got;
    while ((got = read(pipes[i][0], buffer, sizeof buffer)) > 0) {
      if (write(2, buffer, (size_t)got) < 0) exit(92);
      total += (size_t)got;
    }
    close(pipes[i][0]);
    close(pipes[i][1]);
  }
  return total;
}
