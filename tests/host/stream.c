#include "stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

__thread int live_streams;

enum { kMaxColumns = 16 };

typedef struct source {
  int n, broken, given;
  int64_t rows;
  column columns[kMaxColumns];
} source;

static void* must(void* p) {
  if (!p) exit(99);
  return p;
}

static void* copy(const void* from, size_t size) { return memcpy(must(malloc(size + 8)), from, size); }

static void count_live(int by) { live_streams += by; }

static void release_schema(struct ArrowSchema* s) {
  for (int64_t i = 0; i < s->n_children; i++) {
    if (s->children[i]->release) s->children[i]->release(s->children[i]);
    free(s->children[i]);
  }
  free(s->children);
  free((void*)s->name);
  s->release = NULL;
  count_live(-1);
}

static struct ArrowSchema schema(const char* format, const char* name, int children) {
  struct ArrowSchema s = {0};
  s.format = format;
  s.name = copy(name, strlen(name) + 1);
  s.flags = ARROW_FLAG_NULLABLE;
  s.n_children = children;
  s.children = must(calloc((size_t)children + 1, sizeof *s.children));
  for (int i = 0; i < children; i++) s.children[i] = must(calloc(1, sizeof **s.children));
  s.release = release_schema;
  count_live(1);
  return s;
}

static void release_array(struct ArrowArray* a) {
  for (int64_t i = 0; i < a->n_children; i++) {
    if (a->children[i]->release) a->children[i]->release(a->children[i]);
    free(a->children[i]);
  }
  for (int64_t i = 0; i < a->n_buffers; i++) free((void*)a->buffers[i]);
  free(a->buffers);
  free(a->children);
  a->release = NULL;
  count_live(-1);
}

static struct ArrowArray array(int64_t length, int buffers, int children) {
  struct ArrowArray a = {0};
  a.length = length;
  a.n_buffers = buffers;
  a.buffers = must(calloc((size_t)buffers, sizeof *a.buffers));
  a.n_children = children;
  a.children = must(calloc((size_t)children + 1, sizeof *a.children));
  for (int i = 0; i < children; i++) a.children[i] = must(calloc(1, sizeof **a.children));
  a.release = release_array;
  count_live(1);
  return a;
}

static struct ArrowArray numbers(const void* values, size_t width, int64_t rows) {
  struct ArrowArray a = array(rows, 2, 0);
  a.buffers[1] = copy(values, width * (size_t)rows);
  return a;
}

static struct ArrowArray strings(const char* const* values, int64_t rows) {
  struct ArrowArray a = array(rows, 3, 0);
  int32_t* offsets = must(calloc((size_t)rows + 1, sizeof *offsets));
  for (int64_t i = 0; i < rows; i++) offsets[i + 1] = offsets[i] + (int32_t)strlen(values[i]);
  char* bytes = must(malloc((size_t)offsets[rows] + 1));
  for (int64_t i = 0; i < rows; i++) memcpy(bytes + offsets[i], values[i], strlen(values[i]));
  a.buffers[1] = offsets;
  a.buffers[2] = bytes;
  return a;
}

static struct ArrowArray column_array(const column* c, int64_t rows) {
  if (c->kind == 'u') return strings(c->values, rows);
  if (c->kind == 'V') {
    struct ArrowArray lists = array(rows, 1, 1);
    *lists.children[0] = numbers(c->values, 4, rows * kStreamVector);
    return lists;
  }
  if (c->kind != 'L') return numbers(c->values, c->kind == 'f' ? 4 : 8, rows);
  struct ArrowArray a = array(rows, 2, 1);
  a.buffers[1] = copy(c->offsets, ((size_t)rows + 1) * 4);
  *a.children[0] = numbers(c->values, 8, c->offsets[rows]);
  return a;
}

static int get_schema(struct ArrowArrayStream* stream, struct ArrowSchema* out) {
  const source* s = stream->private_data;
  *out = schema("+s", "", s->n);
  for (int i = 0; i < s->n; i++) {
    const column* c = &s->columns[i];
    const char* format = c->kind == 'l'   ? "l"
                         : c->kind == 'f' ? "f"
                         : c->kind == 'g' ? "g"
                         : c->kind == 'u' ? "u"
                         : c->kind == 'V' ? "+w:8"
                                          : "+l";
    *out->children[i] = schema(format, c->name, c->kind == 'L' || c->kind == 'V');
    if (c->kind == 'V') *out->children[i]->children[0] = schema("f", "item", 0);
    if (c->kind == 'L') *out->children[i]->children[0] = schema("l", "item", 0);
  }
  return 0;
}

static int get_next(struct ArrowArrayStream* stream, struct ArrowArray* out) {
  source* s = stream->private_data;
  memset(out, 0, sizeof *out);
  if (s->broken) return EIO;
  if (s->given++) return 0;
  *out = array(s->rows, 1, s->n);
  for (int i = 0; i < s->n; i++) *out->children[i] = column_array(&s->columns[i], s->rows);
  return 0;
}

static const char* last_error(struct ArrowArrayStream* stream) {
  (void)stream;
  return "the disk is on fire";
}

static void release_stream(struct ArrowArrayStream* stream) {
  source* s = stream->private_data;
  for (int i = 0; i < s->n; i++) {
    free((void*)s->columns[i].values);
    free((void*)s->columns[i].offsets);
  }
  free(s);
  stream->release = NULL;
  count_live(-1);
}

/* The strings themselves are literals of the caller. */
static size_t size_of(const column* c, int64_t rows) {
  if (c->kind == 'L') return (size_t)c->offsets[rows] * 8;
  if (c->kind == 'V') return (size_t)rows * kStreamVector * 4;
  return (size_t)rows * (c->kind == 'f' ? 4 : 8);
}

struct ArrowArrayStream make_stream(const column* columns, int n, int64_t rows, int broken) {
  source* s = must(calloc(1, sizeof *s));
  if (n > kMaxColumns) exit(98);
  s->n = n;
  s->rows = rows;
  s->broken = broken;
  for (int i = 0; i < n; i++) {
    s->columns[i] = columns[i];
    s->columns[i].values = copy(columns[i].values, size_of(&columns[i], rows));
    if (columns[i].kind == 'L') s->columns[i].offsets = copy(columns[i].offsets, ((size_t)rows + 1) * 4);
  }
  count_live(1);
  return (struct ArrowArrayStream){get_schema, get_next, last_error, release_stream, s};
}
