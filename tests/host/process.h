/* What a host can see of its own process. */
#ifndef GYR_TESTS_HOST_PROCESS_H
#define GYR_TESTS_HOST_PROCESS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

int count_threads(void);
int open_files(void);
int count_mappings(void);
/* Waits a moment for threads that are about to be gone. */
int threads_gone(int expected);
/* Changes when any variable does. */
uint64_t environment_sum(void);
/* Bytes of memory that malloc has given out. */
size_t heap_in_use(void);

/* Puts pipes in the place of stdout and stderr; release_output puts them back, passes what came on to the real stderr,
 * and returns how many bytes that was. */
void capture_output(int pipes[2][2], int saved[2]);
size_t release_output(int pipes[2][2], int saved[2]);

#ifdef __cplusplus
}
#endif
#endif
