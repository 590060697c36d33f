// Handles of one family in many hands: each is used by whoever drew it and destroyed there, in any order, while others
// use their relatives. Whatever lives must work; when all are gone, all memory is back.
#include <list>
#include <memory>

#include "tests/stress/world.h"

namespace gyr::stress {
namespace {

// One handle: what it can do, and its end.
struct Heir {
  std::function<void()> use;
  std::function<void()> destroy;
};

struct Memory {  // of one family's runtime
  std::atomic<int64_t> bytes{0};
  std::atomic<int> frees{0};
};

class LifetimeStress : public ::testing::Test {
 protected:
  LifetimeStress() : path(temp_path("family.gyr")) {
    World world(0);
    schema = world.schema;
    world.save(path);
  }
  ~LifetimeStress() override { std::remove(path.c_str()); }

  gyr_runtime* hooked(Memory* memory) {
    gyr_allocator a{};
    a.struct_size = sizeof a;
    a.user = reinterpret_cast<uintptr_t>(memory);
    a.alloc = [](uintptr_t user, uint64_t size, uint64_t align) {
      reinterpret_cast<Memory*>(user)->bytes += int64_t(size);
      return ::operator new(size, std::align_val_t(align), std::nothrow);
    };
    a.free = [](uintptr_t user, void* p, uint64_t size, uint64_t align) {
      reinterpret_cast<Memory*>(user)->bytes -= int64_t(size);
      ::operator delete(p, std::align_val_t(align));
    };
    a.user_free = [](uintptr_t user) { reinterpret_cast<Memory*>(user)->frees++; };
    gyr_runtime_options o{};
    o.struct_size = sizeof o;
    o.threads = 2;
    o.allocator = &a;
    gyr_runtime* runtime = nullptr;
    Error err;
    MUST_OK(err, gyr_runtime_create(&o, &runtime, &err));
    return runtime;
  }

  // A runtime, a bundle of it, and everything that can be had from both.
  std::vector<Heir> family(Memory* memory) {
    Error err;
    gyr_runtime* runtime = hooked(memory);
    gyr_bundle* bundle = nullptr;
    MUST_OK(err, gyr_bundle_open(runtime, path.c_str(), &bundle, &err));
    std::vector<Heir> heirs;
    heirs.push_back({[runtime] {
                       Error err;
                       gyr_cache* cache = nullptr;
                       gyr_cache_options o{};
                       o.struct_size = sizeof o, o.dim = 4;
                       MUST_OK(err, gyr_cache_create(runtime, &o, &cache, &err));
                       gyr_cache_destroy(cache);
                     },
                     [runtime] { gyr_runtime_destroy(runtime); }});
    auto recommend = [](gyr_bundle* b, gyr_workspace* w) {
      std::vector<int64_t> users{1, 2}, ids(20);
      std::vector<float> scores(20);
      uint32_t counts[2] = {};
      gyr_keys keys = keys_of(users);
      gyr_recommend_args args{};
      args.struct_size = sizeof args;
      args.k = 10, args.users = &keys, args.workspace = w;
      args.out_ids = ids.data(), args.out_scores = scores.data(), args.out_counts = counts;
      Error err;
      MUST_OK(err, gyr_bundle_recommend(b, &args, nullptr, &err));
      MUST(counts[0] == 10 && counts[1] == 10);
    };
    gyr_workspace* workspace = nullptr;
    MUST_OK(err, gyr_workspace_create(bundle, &workspace, &err));
    heirs.push_back({[=, this] {
                       Error err;
                       recommend(bundle, nullptr);
                       MUST_OK(err, gyr_bundle_publish(bundle, path.c_str(), 0, nullptr, &err));
                     },
                     [bundle] { gyr_bundle_destroy(bundle); }});
    gyr_bundle* second = nullptr;  // of the same runtime; the workspace serves it as well
    MUST_OK(err, gyr_bundle_open(runtime, path.c_str(), &second, &err));
    heirs.push_back({[=] { recommend(second, workspace); },
                     [=] {
                       gyr_bundle_destroy(second);
                       gyr_workspace_destroy(workspace);
                     }});
    add_components(runtime, bundle, &heirs);
    return heirs;
  }

  void add_components(gyr_runtime* runtime, gyr_bundle* bundle, std::vector<Heir>* heirs) {
    Error err;
    gyr_table *users = nullptr, *again = nullptr;
    gyr_index* index = nullptr;
    gyr_model* model = nullptr;
    gyr_workflow* workflow = nullptr;
    gyr_monitor* monitor = nullptr;
    gyr_trainer* trainer = nullptr;
    gyr_bundle_builder* builder = nullptr;
    ArrowArrayStream stream{};
    MUST_OK(err, gyr_bundle_table(bundle, "users", &users, &err));
    MUST_OK(err, gyr_bundle_table(bundle, "users", &again, &err));
    MUST_OK(err, gyr_bundle_index(bundle, "catalogue", &index, &err));
    MUST_OK(err, gyr_bundle_model(bundle, "retrieval", &model, &err));
    MUST_OK(err, gyr_bundle_workflow(bundle, "features", &workflow, &err));
    MUST_OK(err, gyr_table_export(users, &stream, &err));
    MUST_OK(err, gyr_monitor_create(runtime, "{}", &monitor, &err));
    MUST_OK(err, gyr_trainer_create(runtime, (std::string(kRetrieval) + "1}").c_str(), schema.c_str(), &trainer, &err));
    MUST_OK(err, gyr_bundle_builder_create(runtime, &builder, &err));
    MUST_OK(err, gyr_bundle_builder_add_index(builder, "catalogue", index, &err));
    for (gyr_table* table : {users, again})
      heirs->push_back({[table] {
                          Error err;
                          std::vector<int64_t> id{3};
                          gyr_keys key = keys_of(id);
                          const char* name = "note";
                          gyr_value value{};
                          value.dtype = GYR_DTYPE_INT64, value.i = 5;
                          MUST_OK(err, gyr_table_upsert_row(table, &key, 2, &name, &value, 1, nullptr, &err));
                        },
                        [table] { gyr_table_destroy(table); }});
    heirs->push_back({[index] {
                        Error err;
                        std::vector<float> query(8, 1.0f), scores(4);
                        std::vector<int64_t> ids(4);
                        uint32_t count = 0;
                        gyr_search_args args{};
                        args.struct_size = sizeof args;
                        args.k = 4, args.n = 1, args.queries = query.data();
                        args.out_ids = ids.data(), args.out_scores = scores.data(), args.out_counts = &count;
                        MUST_OK(err, gyr_index_search(index, &args, nullptr, &err));
                        MUST(count == 4);
                      },
                      [index] { gyr_index_destroy(index); }});
    heirs->push_back({[=] {  // the model's input comes through the workflow of another handle's generation
                        Error err;
                        std::string text = text_of([&](char* b, uint64_t c, uint64_t* s, gyr_error* e) {
                          return gyr_model_describe(model, b, c, s, e);
                        });
                        MUST(text.find("two_tower") != std::string::npos);
                      },
                      [model] { gyr_model_destroy(model); }});
    heirs->push_back({[workflow] {
                        gyr_value value{};
                        Error err;
                        MUST_OK(err, gyr_workflow_decode(workflow, "item_id", 5, &value, &err));
                        MUST(variant_of(value.i) == 0) << value.i;
                      },
                      [workflow] { gyr_workflow_destroy(workflow); }});
    auto shared = std::make_shared<ArrowArrayStream>(stream);
    heirs->push_back({[shared] {
                        ArrowArray batch{};
                        MUST(shared->get_next(shared.get(), &batch) == 0) << shared->get_last_error(shared.get());
                        if (batch.release) batch.release(&batch);
                      },
                      [shared] { shared->release(shared.get()); }});
    heirs->push_back({[monitor] {
                        Error err;
                        MUST_OK(err, gyr_monitor_count(monitor, "calls", 1, &err));
                      },
                      [monitor] { gyr_monitor_destroy(monitor); }});
    heirs->push_back({[trainer] {
                        gyr_model* none = nullptr;
                        Error err;
                        MUST(gyr_trainer_export(trainer, &none, &err) == GYR_E_INVALID_STATE) << err.message;
                      },
                      [trainer] { gyr_trainer_destroy(trainer); }});
    heirs->push_back({[builder] {
                        Error err;
                        MUST_OK(err, gyr_bundle_builder_set_metadata(builder, "{}", &err));
                      },
                      [builder] { gyr_bundle_builder_destroy(builder); }});
  }

  std::string path, schema;
  std::mutex mutex;
  std::list<Memory> memories;
};

TEST_F(LifetimeStress, ParentsAndChildrenGoInAnyOrder) {
  std::vector<Heir> heirs;
  auto draw = [&](Worker& w, Heir* out) {
    std::lock_guard lock(mutex);
    if (heirs.empty()) return false;
    size_t at = w.below(heirs.size());
    std::swap(heirs[at], heirs.back());
    *out = std::move(heirs.back());
    heirs.pop_back();
    return true;
  };
  Hammer hammer;
  hammer.operation(1, [&](Worker&) {
    Memory* memory;
    {
      std::lock_guard lock(mutex);
      if (heirs.size() > 60) return;
      memory = &memories.emplace_back();
    }
    std::vector<Heir> born = family(memory);
    std::lock_guard lock(mutex);
    for (Heir& h : born) heirs.push_back(std::move(h));
  });
  hammer.operation(8, [&](Worker& w) {
    Heir mine;
    if (!draw(w, &mine)) return;
    mine.use();
    mine.destroy();
  });
  hammer.operation(8, [&](Worker& w) {  // used here, destroyed by another
    Heir mine;
    if (!draw(w, &mine)) return;
    mine.use();
    std::lock_guard lock(mutex);
    heirs.push_back(std::move(mine));
  });
  hammer.run();
  for (Heir& h : heirs) h.destroy();
  for (Memory& m : memories) {
    EXPECT_EQ(m.bytes, 0);
    EXPECT_EQ(m.frees, 1);
  }
  EXPECT_GE(memories.size(), 2u);
}

}  // namespace
}  // namespace gyr::stress
