/* A program built against a version's headers and linked to the library of today: takes the address of every function
 * and runs the scenario. */
#define GYR_LINKED
#include "scenario.h"

int main(void) {
  char folder[300];
  scenario s = {.g = &linked_api, .dir = make_folder(folder, sizeof folder), .log = stderr, .threads = 2};
  int failures = scenario_run(&s);
  remove_folder(folder);
  printf("built for %d.%d.%d, running with %u: %d failures\n", GYR_VERSION_MAJOR, GYR_VERSION_MINOR, GYR_VERSION_PATCH,
         gyr_version(), failures);
  return failures != 0;
}
