/* Host threads with small stacks: how much the library needs, with input as deep as it gets.
 *
 *   stacks LIBRARY LIMIT_KIB */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "scenario.h"

enum { kStack = 4 << 20, kDeep = 100000 };

static api g;
static scenario s;
static int failures;

static char* nested(const char* before, char open, char close, int depth, const char* after) {
  char* text = malloc((size_t)depth * 2 + strlen(before) + strlen(after) + 1);
  char* at = text + sprintf(text, "%s", before);
  memset(at, open, (size_t)depth);
  memset(at + depth, close, (size_t)depth);
  strcpy(at + 2 * depth, after);
  return text;
}

static void refuse_deep_input(void) {
  const int depths[] = {31, 33, 1000, kDeep};
  for (int i = 0; i < 4; i++) {
    gyr_table* table = NULL;
    gyr_workflow* workflow = NULL;
    gyr_error err = GYR_ERROR_INIT;
    char* json = nested("", '[', ']', depths[i], "");
    if (g.table_create(s.h.runtime, json, &table, &err) != GYR_E_INVALID_ARGUMENT) failures++;
    free(json);
    json = nested(
        "{\"version\":1,\"inputs\":[{\"name\":\"a\",\"dtype\":\"int64\"}],\"ops\":[{\"op\":\"Filter\",\"expr\":\"", '(',
        ')', depths[i], " > a\"}]}");
    if (g.workflow_create(s.h.runtime, json, &workflow, &err) != GYR_E_INVALID_ARGUMENT) failures++;
    free(json);
    json = malloc((size_t)depths[i] * 4 + 200);
    char* at = json + sprintf(json,
                              "{\"version\":1,\"inputs\":[{\"name\":\"a\",\"dtype\":\"int64\"}],"
                              "\"ops\":[{\"op\":\"Filter\",\"expr\":\"");
    for (int d = 0; d < depths[i]; d++) at += sprintf(at, "not ");
    strcpy(at, "a > 1\"}]}");
    gyr_status status = g.workflow_create(s.h.runtime, json, &workflow, &err);
    if (status != GYR_OK && status != GYR_E_INVALID_ARGUMENT) failures++;
    g.workflow_destroy(workflow);
    free(json);
  }
}

static void* serve(void* arg) {
  (void)arg;
  scenario_use(&s);
  scenario_mistakes(&s);
  refuse_deep_input();
  return NULL;
}

static void* train(void* arg) {
  (void)arg;
  scenario_open(&s);
  return NULL;
}

/* Runs body on a stack filled with a pattern; returns the deepest byte touched. */
static size_t depth_of(void* (*body)(void*)) {
  char* stack = mmap(NULL, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(stack, 0x5a, kStack);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, stack, kStack);
  pthread_t thread;
  if (pthread_create(&thread, &attributes, body, NULL)) exit(1);
  pthread_join(thread, NULL);
  size_t low = 0;
  while (low < kStack && stack[low] == 0x5a) low++;
  munmap(stack, kStack);
  return kStack - low;
}

int main(int argc, char** argv) {
  void* library = argc == 3 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  if (!library || load_api(library, &g)) return 2;
  char folder[300];
  s = (scenario){.g = &g, .dir = make_folder(folder, sizeof folder), .log = stderr, .threads = 2};
  size_t limit = (size_t)atoi(argv[2]) << 10, trained = depth_of(train), served = depth_of(serve);
  failures += s.failures;
  if (trained > limit || served > limit) failures++;
  scenario_close(&s);
  remove_folder(folder);
  printf("training used %zu KiB of stack, serving and refusing %zu KiB (limit %s KiB): %d failures\n", trained >> 10,
         served >> 10, argv[2], failures);
  return failures != 0;
}
