/* The library through dlopen with RTLD_LOCAL, as language bindings load it. */
#include <dlfcn.h>
#include <gyr/gyr.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  void *lib = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (!lib) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  uint32_t (*version)(void);
  gyr_status (*create)(const gyr_runtime_options *, gyr_runtime **, gyr_error *);
  gyr_status (*get_info)(const gyr_runtime *, gyr_runtime_info *, gyr_error *);
  void (*destroy)(gyr_runtime *);
  *(void **)&version = dlsym(lib, "gyr_version");
  *(void **)&create = dlsym(lib, "gyr_runtime_create");
  *(void **)&get_info = dlsym(lib, "gyr_runtime_get_info");
  *(void **)&destroy = dlsym(lib, "gyr_runtime_destroy");
  if (!version || !create || !get_info || !destroy) return 1;
  gyr_error err = GYR_ERROR_INIT;
  gyr_runtime *rt = NULL;
  if (create(NULL, &rt, &err) != GYR_OK) {
    fprintf(stderr, "%s\n", err.message);
    return 1;
  }
  gyr_runtime_info info;
  memset(&info, 0, sizeof info);
  info.struct_size = sizeof info;
  if (get_info(rt, &info, &err) != GYR_OK || info.threads < 1) return 1;
  destroy(rt);
  if (dlclose(lib) != 0) return 1;
  printf("version %u, %u threads, %s\n", version(), info.threads, info.simd); /* -z nodelete: still mapped */
  return 0;
}
