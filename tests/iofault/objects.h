// One of everything that has a file, through the C interface, taken out of one small bundle.
#pragma once

#include <dirent.h>
#include <gtest/gtest.h>
#include <gyr/gyr.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tests/bundle/world.h"
#include "tests/support/contract.h"
#include "tests/support/files.h"

namespace gyr::test {

namespace fs = std::filesystem;

// A folder that goes with its owner. In memory where flushing would only cost time.
struct Folder {
  std::string path;
  explicit Folder(bool in_memory) {
    bool shm = in_memory && access("/dev/shm", W_OK) == 0;
    path = (shm ? "/dev/shm/" : ::testing::TempDir()) + "gyr-files-XXXXXX";
    if (!mkdtemp(path.data())) ADD_FAILURE() << "no scratch folder";
  }
  ~Folder() { fs::remove_all(path); }
  std::string file(const std::string& name) const { return path + "/" + name; }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (auto& entry : fs::directory_iterator(path)) out.push_back(entry.path().filename());
    return out;
  }
};

inline int open_files() {
  int n = 0;
  DIR* dir = opendir("/proc/self/fd");
  while (readdir(dir)) n++;
  closedir(dir);
  return n;
}

struct Objects {
  gyr_runtime* runtime = nullptr;
  gyr_bundle* bundle = nullptr;
  gyr_workflow* workflow = nullptr;
  gyr_table *users = nullptr, *items = nullptr;
  gyr_index* index = nullptr;
  gyr_cache* cache = nullptr;
  gyr_model *retrieval = nullptr, *ranking = nullptr;
  gyr_bundle_builder* builder = nullptr;
  gyr_error err = GYR_ERROR_INIT;

  // May run in a forked child: nothing of the parent's library state is used.
  explicit Objects(const std::string& path) {
    gyr_runtime_options o{};
    o.struct_size = sizeof o;
    o.threads = 1;
    must(gyr_runtime_create(&o, &runtime, &err));
    must(gyr_bundle_open(runtime, path.c_str(), &bundle, &err));
    must(gyr_bundle_workflow(bundle, "features", &workflow, &err));
    must(gyr_bundle_table(bundle, "users", &users, &err));
    must(gyr_bundle_table(bundle, "items", &items, &err));
    must(gyr_bundle_index(bundle, "items_index", &index, &err));
    must(gyr_bundle_model(bundle, "retrieval", &retrieval, &err));
    must(gyr_bundle_model(bundle, "ranking", &ranking, &err));
    gyr_cache_options cached{};
    cached.struct_size = sizeof cached;
    cached.dim = 2;
    must(gyr_cache_create(runtime, &cached, &cache, &err));
    apply(1);
    must(gyr_bundle_builder_create(runtime, &builder, &err));
    must(gyr_bundle_builder_add_workflow(builder, "features", workflow, &err));
    must(gyr_bundle_builder_add_table(builder, "users", users, &err));
    must(gyr_bundle_builder_add_table(builder, "items", items, &err));
    must(gyr_bundle_builder_add_index(builder, "items_index", index, &err));
    must(gyr_bundle_builder_add_model(builder, "retrieval", retrieval, &err));
    must(gyr_bundle_builder_add_model(builder, "ranking", ranking, &err));
    must(gyr_bundle_builder_set_pipeline(builder, kPipeline, &err));
  }
  ~Objects() {
    gyr_bundle_builder_destroy(builder);
    gyr_model_destroy(ranking);
    gyr_model_destroy(retrieval);
    gyr_index_destroy(index);
    gyr_cache_destroy(cache);
    gyr_table_destroy(items);
    gyr_table_destroy(users);
    gyr_workflow_destroy(workflow);
    gyr_bundle_destroy(bundle);
    gyr_runtime_destroy(runtime);
  }
  Objects(const Objects&) = delete;

  // Ends a child process that cannot go on; the parent sees the status.
  void must(gyr_status s) {
    if (s == GYR_OK) return;
    std::fprintf(stderr, "%s: %s\n", gyr_status_name(s), err.message);
    std::exit(3);
  }

  void apply(int64_t version) {
    const int64_t key = 7;
    const float row[] = {float(version), 1};
    gyr_cache_delta d{};
    d.struct_size = sizeof d;
    d.source = "versions";
    d.offset = uint64_t(version);
    d.keys = &key, d.rows = row, d.n = 1;
    must(gyr_cache_apply(cache, &d, nullptr, &err));
  }

  // Puts `version` into every component that can change.
  void set_version(int64_t version) {
    for (int i = 0; i < kItems; i++) {
      int64_t id = item_id(i);
      gyr_keys key = {sizeof key, GYR_DTYPE_INT64, 1, &id, nullptr};
      const char* column = "world";
      gyr_value value{};
      value.dtype = GYR_DTYPE_INT64;
      value.i = version;
      must(gyr_table_upsert_row(items, &key, 0, &column, &value, 1, nullptr, &err));
    }
    gyr_index_info info{};
    info.struct_size = sizeof info;
    must(gyr_index_get_info(index, &info, &err));
    std::vector<float> vector(info.dim, 0.25f);
    vector[0] = float(version);
    int64_t id = 7;
    must(gyr_index_upsert(index, &id, vector.data(), 1, nullptr, &err));
    apply(version);
    std::string metadata = "{\"version\":" + std::to_string(version) + "}";
    must(gyr_bundle_builder_set_metadata(builder, metadata.c_str(), &err));
  }
};

using FileCallC = std::function<gyr_status(Objects&, const char* path, gyr_error*)>;

// A kind of file: how one is saved, before and after Objects::set_version(), and opened and closed again.
struct FileKind {
  const char* name;
  FileCallC save_old, save, open;
};

template <class H>
FileCallC opener(gyr_status (*open)(gyr_runtime*, const char*, H**, gyr_error*) noexcept,
                 void (*destroy)(H*) noexcept) {
  return [=](Objects& o, const char* path, gyr_error* err) {
    H* untouched = reinterpret_cast<H*>(&o);
    H* handle = untouched;
    gyr_status s = open(o.runtime, path, &handle, err);
    if (s == GYR_OK)
      destroy(handle);
    else
      EXPECT_EQ(handle, untouched);
    return s;
  };
}

inline gyr_status save_unfitted(Objects& o, const char* path, gyr_error* err) {
  gyr_workflow* unfitted = nullptr;
  o.must(gyr_workflow_create(o.runtime, kWorkflow, &unfitted, &o.err));
  gyr_status s = gyr_workflow_save(unfitted, path, err);
  gyr_workflow_destroy(unfitted);
  return s;
}

// The same call, whose answers must be in the function's contract.
inline FileCallC checked(const std::string& function, FileCallC call) {
  return [=](Objects& o, const char* path, gyr_error* err) {
    gyr_status s = call(o, path, err);
    expect_in_contract(function, s);
    return s;
  };
}

inline std::vector<FileKind> make_file_kinds() {
  using Path = const char*;
  using Err = gyr_error*;
  auto index = [](Objects& o, Path path, Err err) { return gyr_index_save(o.index, path, err); };
  auto cache = [](Objects& o, Path path, Err err) { return gyr_cache_save(o.cache, path, err); };
  auto open_cache = [](gyr_runtime* r, Path path, gyr_cache** out, Err err) noexcept {
    return gyr_cache_open(r, path, nullptr, out, err);
  };
  auto bundle = [](Objects& o, Path path, Err err) { return gyr_bundle_builder_save(o.builder, path, err); };
  std::vector<FileKind> made = {
      {"workflow", save_unfitted,
       [](Objects& o, Path path, Err err) { return gyr_workflow_save(o.workflow, path, err); },
       opener(gyr_workflow_open, gyr_workflow_destroy)},
      {"table", [](Objects& o, Path path, Err err) { return gyr_table_save(o.users, path, err); },
       [](Objects& o, Path path, Err err) { return gyr_table_save(o.items, path, err); },
       opener(gyr_table_open, gyr_table_destroy)},
      {"index", index, index, opener(gyr_index_open, gyr_index_destroy)},
      {"cache", cache, cache, opener<gyr_cache>(open_cache, gyr_cache_destroy)},
      {"model", [](Objects& o, Path path, Err err) { return gyr_model_save(o.retrieval, path, err); },
       [](Objects& o, Path path, Err err) { return gyr_model_save(o.ranking, path, err); },
       opener(gyr_model_open, gyr_model_destroy)},
      {"bundle", bundle, bundle, opener(gyr_bundle_open, gyr_bundle_destroy)}};
  for (FileKind& kind : made) {
    std::string name = std::string("gyr_") + kind.name;
    kind.open = checked(name + "_open", kind.open);
    kind.save = checked(name == "gyr_bundle" ? "gyr_bundle_builder_save" : name + "_save", kind.save);
  }
  return made;
}

inline const std::vector<FileKind>& file_kinds() {
  static const std::vector<FileKind> kinds = make_file_kinds();
  return kinds;
}

// The bytes that every kind's file has before and after set_version().
struct Contents {
  std::string before, after;
};

inline std::vector<Contents> save_all(Objects& o, const Folder& folder) {
  std::vector<Contents> out(file_kinds().size());
  std::string path = folder.file("contents.gyr");
  auto bytes = [&](const FileCallC& save) {
    o.must(save(o, path.c_str(), &o.err));
    std::string text = slurp(path);
    unlink(path.c_str());
    return text;
  };
  for (size_t k = 0; k < out.size(); k++) out[k].before = bytes(file_kinds()[k].save_old);
  o.set_version(2);
  for (size_t k = 0; k < out.size(); k++) {
    out[k].after = bytes(file_kinds()[k].save);
    EXPECT_NE(out[k].before, out[k].after) << file_kinds()[k].name;
  }
  return out;
}

}  // namespace gyr::test
