// Callers that pass what must not be passed, around every real call of the host scenario (gen_bad_arguments.py):
//
//   a pointer that must not be NULL, as a parameter or in an input struct   INVALID_ARGUMENT, named in the message
//   a handle that is NULL or of another type                                INVALID_HANDLE, named in the message
//   a count of elements that no memory could hold                           a status, before anything is read
//   an array of no elements that is NULL                                    no complaint about it
//
// After each of these nothing is changed: no out-parameter, array or stream. The same with `err` NULL. Whatever is
// answered is in the function's contract.
#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "tests/abi/host_hooks.h"
#include "tests/host/scenario.h"

namespace {

// after the names
#include "answers.h"

api real;
alignas(16) char of_no_type[256];  // a handle's mark is not in it
int failures;
std::set<std::string> tried;

void complain(const std::string& trial, const std::string& what) {
  failures++;
  std::printf("%s: %s\n", trial.c_str(), what.c_str());
}

std::string function_of(const std::string& trial) { return trial.substr(0, trial.find('.')); }

// What a refused call must leave alone.
struct Kept {
  const void* at;
  uint64_t count, size;
  uint64_t bytes() const { return at ? count * size : 0; }
};

class Snapshot {
 public:
  explicit Snapshot(const std::vector<Kept>& kept) : kept_(kept) {
    for (const Kept& k : kept_) {
      auto* from = static_cast<const char*>(k.at);
      bytes_.insert(bytes_.end(), from, from + k.bytes());
    }
  }
  void restore() const {
    const char* was = bytes_.data();
    for (const Kept& k : kept_) {
      std::copy_n(was, k.bytes(), static_cast<char*>(const_cast<void*>(k.at)));
      was += k.bytes();
    }
  }
  void compare(const std::string& trial) const {
    const char* was = bytes_.data();
    for (const Kept& k : kept_) {
      if (k.bytes() && std::memcmp(was, k.at, k.bytes()) != 0) complain(trial, "the refused call wrote to its results");
      was += k.bytes();
    }
  }

 private:
  const std::vector<Kept>& kept_;
  std::vector<char> bytes_;
};

// A pointer (field) that is NULL for a while.
class Without {
 public:
  template <class T>
  explicit Without(T* field) : at_(field), size_(sizeof *field) {
    std::memcpy(was_, at_, size_);
    std::memset(at_, 0, size_);
  }
  ~Without() { std::memcpy(at_, was_, size_); }
  Without(const Without&) = delete;

 private:
  void* at_;
  size_t size_;
  char was_[16];
};

template <class Call>
gyr_status attempt(const std::string& trial, gyr_error* err, Call& call) {
  tried.insert(trial);
  *err = GYR_ERROR_INIT;
  gyr_status status = call(err);
  if (!may_answer(function_of(trial).c_str(), status)) complain(trial, "not in @return: " + std::to_string(status));
  if (status != GYR_OK && (err->code != status || !err->message[0] || !err->component[0]))
    complain(trial, "gyr_error was not filled");
  return status;
}

template <class Call>
void refuse(const std::string& trial, const char* name, gyr_status wanted, const std::vector<Kept>& kept, Call call) {
  Snapshot before(kept);
  gyr_error err;
  gyr_status status = attempt(trial, &err, call);
  if (status != wanted) complain(trial, std::string(real.status_name(status)) + ": " + err.message);
  if (status != GYR_OK && !std::strstr(err.message, name))
    complain(trial, std::string("the message does not name it: ") + err.message);
  if (status != GYR_OK && call(nullptr) != status) complain(trial, "another answer without gyr_error");
  before.compare(trial);
}

// `counts` is where the call takes it from.
template <class Count, class Call>
void refuse_counts(const std::string& trial, const std::vector<Kept>& kept, Count* counts, Call call) {
  const uint64_t was = *counts;
  Snapshot before(kept);
  for (uint64_t beyond : {UINT64_MAX, uint64_t(1) << 62}) {
    *counts = beyond;
    gyr_error err;
    gyr_status status = attempt(trial, &err, call);
    constexpr gyr_status kRefused[] = {GYR_E_INVALID_ARGUMENT, GYR_E_OUT_OF_RANGE, GYR_E_OUT_OF_MEMORY,
                                       GYR_E_RESOURCE_EXHAUSTED};
    if (!std::count(std::begin(kRefused), std::end(kRefused), status))
      complain(trial, std::to_string(beyond) + " gave " + real.status_name(status));
  }
  *counts = was;
  before.compare(trial);
}

// More room than any memory has is as good as enough.
template <class Call>
void accept_room(const std::string& trial, uint64_t* room, Call call) {
  const uint64_t was = *room;
  *room = UINT64_MAX;
  gyr_error err;
  if (gyr_status status = attempt(trial, &err, call); status != GYR_OK)
    complain(trial, std::string(real.status_name(status)) + ": " + err.message);
  *room = was;
}

template <class Call>
void accept_nothing(const std::string& trial, const std::vector<Kept>& results, Call call) {
  Snapshot before(results);
  gyr_error err;
  if (attempt(trial, &err, call) != GYR_OK && std::strstr(err.message, "NULL"))
    complain(trial, std::string("an empty array must be there: ") + err.message);
  before.restore();
}

// Lists and strings in values that no memory could hold.
template <class Call>
void refuse_values(const std::string& trial, const std::vector<Kept>& kept, const gyr_value* values, uint64_t n,
                   Call call) {
  std::vector<gyr_value> copy(values, values + n);
  auto with_copy = [&](gyr_error* err) { return call(copy.data(), err); };
  for (gyr_value& v : copy) {
    if (v.is_list && v.list) {
      refuse_counts(trial, kept, &v.count, with_copy);
      if (v.count) {
        Without without(&v.list);
        refuse(trial, "list", GYR_E_INVALID_ARGUMENT, kept, with_copy);
      }
    } else if (v.dtype == GYR_DTYPE_STRING && v.s.len) {
      refuse_counts(trial, kept, &v.s.len, with_copy);
      Without without(&v.s.data);
      refuse(trial, "string", GYR_E_INVALID_ARGUMENT, kept, with_copy);
    } else {
      tried.insert(trial);
    }
  }
}

template <class Call>
void ignore(const std::string& trial, const std::vector<Kept>& kept, Call call) {
  tried.insert(trial);
  Snapshot before(kept);
  call();
  before.compare(trial);
}

#include "bad_arguments.h"

// What the scenario has none of: nothing to be wrong about.
constexpr const char* kUntried[] = {"strings", "heap"};

void check_coverage() {
  for (const char* trial : kTrials) {
    bool there = tried.contains(trial);
    bool needed = std::none_of(std::begin(kUntried), std::end(kUntried),
                               [&](const char* name) { return std::strstr(trial, name) != nullptr; });
    if (!there && needed) complain(trial, "was never tried");
  }
}

}  // namespace

int main(int argc, char** argv) {
  void* library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : nullptr;
  if (!library || load_api(library, &real)) return std::fprintf(stderr, "bad_arguments LIBRARY\n"), 2;
  std::setvbuf(stdout, nullptr, _IONBF, 0);  // a crash says what went before
  char folder[300];
  make_folder(folder, sizeof folder);
  HostHooks hooks;
  hooks.allocator.reserved = 1;
  gyr_runtime* runtime = nullptr;
  if (real.runtime_create(&hooks.options, &runtime, nullptr) != GYR_E_OPTIONS_TOO_NEW)
    complain("gyr_runtime_create.allocator", "a reserved field was taken");
  hooks.allocator.reserved = 0;
  scenario s{};
  s.g = &bad_api;
  s.dir = folder;
  s.log = stdout;
  s.threads = 2;
  s.options = &hooks.options;
  scenario_open(&s);
  scenario_use(&s);
  bad_api.task_cancel(nullptr);  // the scenario cancels among its mistakes
  scenario_close(&s);
  remove_folder(folder);
  check_coverage();
  failures += s.failures + hooks.wrong_records;
  std::printf("%zu kinds of mistakes, %d failures\n", tried.size(), failures);
  return failures != 0;
}
