/* What the scenario's files share: checked calls, and the world that its objects are made of. */
#ifndef GYR_TESTS_HOST_SCENARIO_PARTS_H
#define GYR_TESTS_HOST_SCENARIO_PARTS_H

#include "scenario.h"
#include "stream.h"

enum { kUsers = 40, kItems = 60, kGroups = 4, kLikes = 6, kRows = kUsers * kLikes, kDim = 8, kK = 5 };

/* Calls and conditions that must hold, calls that must be refused with a message; what is not so goes to the log. */
#define CALL(...) scenario_check(s, s->g->__VA_ARGS__, #__VA_ARGS__, __FILE__, __LINE__)
#define EXPECT(condition) scenario_expect(s, !!(condition), #condition, __FILE__, __LINE__)
#define REFUSED(status, ...) scenario_refused(s, status, s->g->__VA_ARGS__, #__VA_ARGS__, __FILE__, __LINE__)
int scenario_check(scenario* s, gyr_status status, const char* call, const char* file, int line);
int scenario_expect(scenario* s, int holds, const char* condition, const char* file, int line);
void scenario_refused(scenario* s, gyr_status wanted, gyr_status status, const char* call, const char* file, int line);
void scenario_digest(scenario* s, const void* data, size_t size);
const char* scenario_path(const scenario* s, const char* name, char buffer[512]);

/* Asks for the size, then for the text. Returns memory of the caller's, NULL after a failure. */
typedef gyr_status (*text_call)(const void* handle, char* buffer, uint64_t capacity, uint64_t* size, gyr_error* err);
char* scenario_text(scenario* s, text_call call, const void* handle);
#define TEXT(call, handle) scenario_text(s, (text_call)(void (*)(void))s->g->call, handle)

/* The world: users like items of their own group. */
typedef struct world {
  int64_t user[kUsers], at[kUsers], item[kItems], year_int[kItems];
  float age[kUsers], year[kItems];
  const char* genre[kItems];
  int64_t likes[kUsers * kLikes];
  int32_t like_offsets[kUsers + 1];
  int64_t row_item[2 * kRows], row_history[2 * kRows * kLikes];
  int32_t row_offsets[2 * kRows + 1];
  float row_age[2 * kRows], row_year[2 * kRows], row_label[2 * kRows];
  const char* row_genre[2 * kRows];
  int64_t event_user[kRows], event_item[kRows];
} world;

world* make_world(void);
/* Streams over the world's rows, which must outlive them. */
struct ArrowArrayStream training_rows(const world* w, int with_label, int broken);
struct ArrowArrayStream user_rows(const world* w);
struct ArrowArrayStream item_rows(const world* w);
/* What the fitted workflow makes of a stream. */
struct ArrowArrayStream scenario_transformed(scenario* s, struct ArrowArrayStream in);

#endif
