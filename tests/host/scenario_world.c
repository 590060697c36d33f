/* The data of the scenario. */
#include <stdlib.h>
#include <string.h>

#include "scenario_parts.h"

static const char* const kGenres[kGroups] = {"drama", "com\303\251die", "noir", "western"};

world* make_world(void) {
  world* w = calloc(1, sizeof *w);
  if (!w) exit(97);
  for (int i = 0; i < kItems; i++) {
    w->item[i] = 500 + i;
    w->year[i] = 1950.5f + (float)i;
    w->genre[i] = kGenres[i % kGroups];
  }
  int rows = 0;
  for (int u = 0; u < kUsers; u++) {
    w->user[u] = 1000 + u;
    w->at[u] = 1000000;
    w->age[u] = 20.25f + (float)u;
    w->like_offsets[u + 1] = (u + 1) * kLikes;
    for (int n = 0; n < kLikes; n++)
      w->likes[u * kLikes + n] = 500 + ((u * 7 + n * 5) % (kItems / kGroups)) * kGroups + u % kGroups;
    for (int n = 0; n < kLikes; n++) {
      w->event_user[u * kLikes + n] = 3 + u;
      w->event_item[u * kLikes + n] = 3 + w->likes[u * kLikes + n] - 500;
    }
    for (int n = 0; n < 2 * kLikes; n++, rows++) {
      int item = n < kLikes ? (int)w->likes[u * kLikes + n] - 500 : (u * 11 + n * 17) % kItems;
      w->row_item[rows] = w->item[item];
      w->row_age[rows] = w->age[u];
      w->row_year[rows] = w->year[item];
      w->row_genre[rows] = w->genre[item];
      w->row_label[rows] = n < kLikes ? 1 : 0;
      memcpy(w->row_history + rows * kLikes, w->likes + u * kLikes, kLikes * 8);
      w->row_offsets[rows + 1] = (rows + 1) * kLikes;
    }
  }
  return w;
}

struct ArrowArrayStream training_rows(const world* w, int with_label, int broken) {
  column columns[] = {{"age", 'f', w->row_age, NULL},      {"history", 'L', w->row_history, w->row_offsets},
                      {"item_id", 'l', w->row_item, NULL}, {"genre", 'u', w->row_genre, NULL},
                      {"year", 'f', w->row_year, NULL},    {"label", 'f', w->row_label, NULL}};
  return make_stream(columns, with_label ? 6 : 5, 2 * kRows, broken);
}

struct ArrowArrayStream user_rows(const world* w) {
  column columns[] = {{"user_id", 'l', w->user, NULL},
                      {"at", 'l', w->at, NULL},
                      {"age", 'f', w->age, NULL},
                      {"history", 'L', w->likes, w->like_offsets},
                      {"seen", 'L', w->likes, w->like_offsets}};
  return make_stream(columns, 5, kUsers, 0);
}

struct ArrowArrayStream item_rows(const world* w) {
  column columns[] = {{"item_id", 'l', w->item, NULL}, {"genre", 'u', w->genre, NULL}, {"year", 'f', w->year, NULL}};
  return make_stream(columns, 3, kItems, 0);
}
