// Callers built against older and newer headers: every struct of every call at other sizes, generated from the
// description of the interface (tests/host/gen_api.py) and driven by the host scenario.
//
//   input, shorter      acts like the same struct with zeros behind the cut, and what lies behind is not read
//   input, longer       zero tail: acts the same; any other tail: OPTIONS_TOO_NEW
//   output, shorter     the same bytes up to the cut, nothing written behind it
//   output, longer      the tail is zeroed, nothing written behind it
//   struct_size 0, 4, 2^32-1   INVALID_ARGUMENT with the struct's name
//   gyr_error           at any size: never written beyond it, always terminated
//
// Whatever a call answers must be in its function's contract.
#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/abi/host_hooks.h"
#include "tests/host/scenario.h"

namespace {

#include "answers.h"
#include "structs.h"

constexpr uint32_t kTail = 24;           // what a newer header could have added
constexpr unsigned char kPoison = 0xa5;  // what lies behind a caller's struct
constexpr uint32_t kSmallest = 8;        // struct_size and one more field

int failures;
std::map<std::string, int> tried;  // trials per struct

void complain(const char* function, const struct_info& info, const std::string& what) {
  failures++;
  std::printf("%s, %s: %s\n", function, info.name, what.c_str());
}

// Structs of one type as they lie in a caller's memory: `size` bytes apart, poison behind the last.
class Block {
 public:
  Block(const struct_info& info, const void* from, uint64_t count, uint32_t size)
      : size_(size), count_(count), bytes_(size * count + 64, kPoison) {
    for (uint64_t i = 0; i < count; i++) {
      unsigned char* to = bytes_.data() + i * size;
      std::memset(to, 0, size);
      std::memcpy(to, static_cast<const char*>(from) + i * info.size, std::min(size, info.size));
      std::memcpy(to, &size, sizeof size);
    }
  }
  template <class T>
  T* as() {
    return reinterpret_cast<T*>(bytes_.data());
  }
  unsigned char* element(uint64_t i) { return bytes_.data() + i * size_; }
  void set_size(uint32_t size) {
    for (uint64_t i = 0; i < count_; i++) std::memcpy(element(i), &size, sizeof size);
  }
  bool poison_is_whole() const {
    return std::all_of(bytes_.end() - 64, bytes_.end(), [](unsigned char b) { return b == kPoison; });
  }

 private:
  uint32_t size_;
  uint64_t count_;
  std::vector<unsigned char> bytes_;
};

// The caller's error struct, at a size of its own for each trial.
class Error {
 public:
  Error() {
    static uint32_t turn;
    static constexpr uint32_t kSizes[] = {sizeof(gyr_error), 33, 100, sizeof(gyr_error) + kTail, 8, 0};
    size_ = kSizes[turn++ % std::size(kSizes)];
    std::memset(bytes_, kPoison, sizeof bytes_);
    std::memset(bytes_, 0, std::min<uint32_t>(size_, sizeof(gyr_error)));
    std::memcpy(bytes_, &size_, sizeof size_);
  }
  gyr_error* get() { return reinterpret_cast<gyr_error*>(bytes_); }
  bool has_message() const { return size_ > offsetof(gyr_error, message); }
  const char* message() { return get()->message; }
  // Nothing behind the caller's struct or behind ours; a message that ends within.
  bool in_bounds() {
    uint32_t end = std::min<uint32_t>(size_, sizeof(gyr_error));
    if (!has_message()) end = std::max<uint32_t>(end, sizeof size_);
    if (has_message() && !std::memchr(message(), 0, end - offsetof(gyr_error, message))) return false;
    return std::all_of(bytes_ + end, bytes_ + sizeof bytes_, [](unsigned char b) { return b == kPoison; });
  }

 private:
  uint32_t size_;
  alignas(8) unsigned char bytes_[sizeof(gyr_error) + kTail + 64];
};

struct Kind {
  bool repeatable, fallible;
};

template <class T, class Call>
gyr_status attempt(const char* function, const struct_info& info, Block* block, Call& call, Error* error) {
  tried[info.name]++;
  gyr_status status = call(block->as<T>(), error->get());
  if (!error->in_bounds()) complain(function, info, "gyr_error was written beyond its size");
  if (!block->poison_is_whole()) complain(function, info, "bytes behind the struct were written");
  if (!may_answer(function, status)) complain(function, info, "not in @return: " + std::to_string(status));
  return status;
}

template <class T, class Call>
void refuse_sizes(const char* function, const struct_info& info, const T* from, uint64_t count, Call& call) {
  for (uint32_t size : {0u, 4u, 7u, 65537u, UINT32_MAX}) {
    Block block(info, from, count, info.size);
    block.set_size(size);
    Error error;
    gyr_status status = attempt<T>(function, info, &block, call, &error);
    if (status != GYR_E_INVALID_ARGUMENT)
      complain(function, info, "struct_size " + std::to_string(size) + " gave status " + std::to_string(status));
    else if (error.has_message() && !std::strstr(error.message(), "struct_size") && std::strlen(error.message()) > 60)
      complain(function, info, std::string("the message does not name struct_size: ") + error.message());
  }
}

template <class T, class Call>
void vary_input(const char* function, const struct_info& info, const T* from, uint64_t count, Kind kind, Call call) {
  if (count == 0) return;
  refuse_sizes<T>(function, info, from, count, call);
  for (uint32_t at : {0u, kTail - 1}) {
    Block newer(info, from, count, info.size + kTail);
    newer.element(count - 1)[info.size + at] = 1;
    Error error;
    if (gyr_status status = attempt<T>(function, info, &newer, call, &error); status != GYR_E_OPTIONS_TOO_NEW)
      complain(function, info, "a field of tomorrow gave status " + std::to_string(status));
  }
  if (!kind.repeatable) return;
  Block plain(info, from, count, info.size), longer(info, from, count, info.size + kTail);
  Error plain_error, longer_error;
  gyr_status expected = attempt<T>(function, info, &plain, call, &plain_error);
  gyr_status got = attempt<T>(function, info, &longer, call, &longer_error);
  if (got != expected) complain(function, info, "a zero tail gave status " + std::to_string(got));
  for (uint32_t f = 2; f < info.fields; f++) {
    uint32_t cut = info.field[f].offset;
    if (cut < kSmallest) continue;
    Block zeroed(info, from, count, info.size), older(info, from, count, cut);
    for (uint64_t i = 0; i < count; i++) std::memset(zeroed.element(i) + cut, 0, info.size - cut);
    Error zeroed_error, older_error;
    expected = attempt<T>(function, info, &zeroed, call, &zeroed_error);
    got = attempt<T>(function, info, &older, call, &older_error);
    if (got != expected)
      complain(function, info,
               "without " + std::string(info.field[f].name) + ": status " + std::to_string(got) + ", with zeros " +
                   std::to_string(expected));
  }
}

bool same(const struct_info& info, const unsigned char* a, const unsigned char* b, uint32_t cut) {
  for (uint32_t f = 1; f < info.fields; f++) {
    const field_info& field = info.field[f];
    if (field.offset + field.size > cut) break;
    if (info.changing && std::strcmp(info.changing, field.name) == 0) continue;
    if (std::memcmp(a + field.offset, b + field.offset, field.size) != 0) return false;
  }
  return true;
}

template <class T, class Call>
void vary_output(const char* function, const struct_info& info, const T* from, uint64_t count, Kind kind, Call call) {
  if (kind.fallible) refuse_sizes<T>(function, info, from, count, call);
  if (!kind.repeatable) return;
  Block whole(info, from, count, info.size);
  Error error;
  if (attempt<T>(function, info, &whole, call, &error) != GYR_OK) return complain(function, info, "the call failed");
  std::vector<uint32_t> sizes{info.size + kTail};
  for (uint32_t f = 2; f < info.fields; f++) sizes.push_back(info.field[f].offset);
  for (uint32_t size : sizes) {
    Block other(info, from, count, size);
    if (size > info.size)
      for (uint64_t i = 0; i < count; i++) std::memset(other.element(i) + info.size, 7, kTail);
    Error again;
    if (attempt<T>(function, info, &other, call, &again) != GYR_OK)
      complain(function, info, "struct_size " + std::to_string(size) + " failed");
    if (!same(info, whole.element(0), other.element(0), size))
      complain(function, info, "struct_size " + std::to_string(size) + " gave other values");
    const unsigned char* tail = other.element(0) + info.size;
    if (size > info.size && std::any_of(tail, tail + kTail, [](unsigned char b) { return b != 0; }))
      complain(function, info, "the tail of a newer caller's struct was left unset");
  }
}

#include "sizes.h"

// Traces are structs inside an argument struct: by hand.
gyr_status traced(const gyr_bundle* bundle, void* trace, uint32_t capacity) {
  int64_t user = 1000, ids[5];
  float scores[5];
  uint32_t count = 0;
  gyr_keys keys{sizeof keys, GYR_DTYPE_INT64, 1, &user, nullptr};
  gyr_recommend_args args{};
  args.struct_size = sizeof args;
  args.k = 5;
  args.users = &keys;
  args.out_ids = ids;
  args.out_scores = scores;
  args.out_counts = &count;
  args.trace = static_cast<gyr_stage_trace*>(trace);
  args.trace_capacity = capacity;
  gyr_error err = GYR_ERROR_INIT;
  return real.bundle_recommend(bundle, &args, nullptr, &err);
}

void vary_traces(const gyr_bundle* bundle) {
  constexpr const char* kFunction = "gyr_bundle_recommend";
  const struct_info& info = info_of_gyr_stage_trace;
  gyr_stage_trace zero[4] = {};
  for (uint32_t size : {info.size, info.size + kTail, info.size - 8}) {
    Block block(info, zero, 4, size);
    tried[info.name]++;
    if (traced(bundle, block.as<void>(), 4) != GYR_OK) complain(kFunction, info, "size " + std::to_string(size));
    if (!block.poison_is_whole()) complain(kFunction, info, "bytes behind the traces were written");
    for (uint64_t i = 0; i < 4; i++)
      if (!reinterpret_cast<gyr_stage_trace*>(block.element(i))->name[0])
        complain(kFunction, info, "entry " + std::to_string(i) + " of size " + std::to_string(size) + " has no name");
  }
  for (uint32_t size : {0u, 4u, UINT32_MAX}) {
    Block block(info, zero, 4, info.size);
    block.set_size(size);
    if (traced(bundle, block.as<void>(), 4) != GYR_E_INVALID_ARGUMENT)
      complain(kFunction, info, "struct_size " + std::to_string(size) + " was taken");
  }
}

// Sizes as the library sees them, and no byte that belongs to no field: padding cannot become a field later.
void check_layout() {
  for (const struct_info* info : kStructs) {
    if (real.struct_size(info->name) != info->size) complain("gyr_struct_size", *info, "another size");
    uint32_t end = 0;
    for (uint32_t f = 0; f < info->fields; f++) {
      if (info->field[f].offset != end) complain("layout", *info, std::string("padding before ") + info->field[f].name);
      end = info->field[f].offset + info->field[f].size;
    }
    if (end != info->size) complain("layout", *info, "padding at the end");
  }
  if (real.struct_size("gyr_nothing") != 0 || real.struct_size(nullptr) != 0)
    complain("gyr_struct_size", info_of_gyr_error, "an unknown name has a size");
}

}  // namespace

int main(int argc, char** argv) {
  void* library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : nullptr;
  if (!library || load_api(library, &real)) return std::fprintf(stderr, "struct_sizes LIBRARY\n"), 2;
  check_layout();
  char folder[300];
  make_folder(folder, sizeof folder);
  HostHooks hooks;
  scenario s{};
  s.g = &sizes_api;
  s.dir = folder;
  s.log = stdout;
  s.threads = 2;
  s.options = &hooks.options;
  scenario_open(&s);
  scenario_use(&s);
  if (s.h.bundle) vary_traces(s.h.bundle);
  scenario_close(&s);
  remove_folder(folder);
  int trials = 0, untried = 0;
  for (const struct_info* info : kStructs) {
    bool sized = std::strcmp(info->field[0].name, "struct_size") == 0;
    bool ours = std::strcmp(info->name, "gyr_log_record") == 0 || std::strcmp(info->name, "gyr_error") == 0;
    if (sized && !ours && !tried[info->name]) untried++, std::printf("%s was never tried\n", info->name);
    trials += tried[info->name];
  }
  failures += s.failures + hooks.wrong_records + untried;
  std::printf("%d trials of struct sizes, %d failures\n", trials, failures);
  return failures != 0;
}
