// gyr/model.h with every allocation failing once, for every kind of model.
#include <cmath>

#include "tests/fault/world.h"

namespace gyr::test {
namespace {

TrainerHandle trainer_of(const Fault& f, const char* spec) {
  World& w = World::of(f);
  TrainerHandle t;
  GYR_SETUP(gyr_trainer_create(w.runtime(), spec, w.schema().c_str(), t.out(), err));
  return t;
}

std::string history_of(const gyr_trainer* t) {
  std::string text = text_of([t](char* buffer, uint64_t capacity, uint64_t* size, gyr_error* err) {
    return gyr_trainer_history(t, buffer, capacity, size, err);
  });
  // Seconds differ from run to run.
  for (size_t at; (at = text.find("\"seconds\":")) != std::string::npos;)
    text.erase(at, text.find_first_of(",}", at) - at);
  return text;
}

std::string description_of(const gyr_model* m) {
  return text_of([m](char* buffer, uint64_t capacity, uint64_t* size, gyr_error* err) {
    return gyr_model_describe(m, buffer, capacity, size, err);
  });
}

// What a model says of the world's rows, whatever its kind.
std::vector<float> answers_of(World& w, const gyr_model* m, const std::string& kind) {
  std::vector<float> out(18, -1);
  if (kind == "two_tower" || kind == "dlrm") {
    Source rows;
    w.encoded_rows(&rows);
    ArrowArrayStream stream = rows.open();
    uint64_t n = 0;
    GYR_SETUP(gyr_model_predict(m, &stream, out.data(), out.size(), &n, err));
    return out;
  }
  const int64_t items[] = {3, 6, 4}, offsets[] = {0, 2, 3};
  std::vector<int64_t> got(6);
  GYR_SETUP(gyr_model_recommend(m, items, offsets, 2, 3, nullptr, nullptr, got.data(), out.data(), err));
  for (size_t i = 0; i < 6; i++) {
    if (std::isnan(out[i])) out[i] = -2;
    out.push_back(float(got[i]));
  }
  return out;
}

void create(Fault& f, const char* kind) {
  World& w = World::of(f);
  gyr_runtime* runtime = w.runtime();
  const std::string& schema = w.schema();
  const char* spec = model_spec(kind);
  TrainerHandle t;
  f.call([&](gyr_error* err) { return gyr_trainer_create(runtime, spec, schema.c_str(), t.out(), err); }, t.out());
  EXPECT_EQ(history_of(t), "[]");
}

FAULT_SCENARIO(gyr_trainer_create) { create(f, "dlrm"); }
FAULT_VARIANT(gyr_trainer_create, two_tower) { create(f, "two_tower"); }
FAULT_VARIANT(gyr_trainer_create, ials) { create(f, "ials"); }
FAULT_VARIANT(gyr_trainer_create, item_knn) { create(f, "item_knn"); }
FAULT_VARIANT(gyr_trainer_create, popularity) { create(f, "popularity"); }

constexpr const char* kNegatives = R"({"version":1,"kind":"dlrm","item":"item_id","negatives":{"per_positive":2},
  "dim":4,"bottom":[4,4],"top":[4],"batch":16,"epochs":1,"user_features":["history","age"],
  "item_features":["item_id","genre"],"seed":6})";

void catalogue(Source* out) {
  std::vector<int64_t> items, genres;
  for (int i = 0; i < kItems; i++) items.push_back(3 + i), genres.push_back(3 + i % 3);
  out->ints("item_id", items).ints("genre", genres);
}

FAULT_SCENARIO(gyr_trainer_add_items) {
  TrainerHandle t = trainer_of(f, kNegatives), twin = trainer_of(f, kNegatives);
  Source items;
  catalogue(&items);
  f.call([&](gyr_error* err) {
    ArrowArrayStream stream = items.open();
    return finish(gyr_trainer_add_items(t, &stream, nullptr, err), &stream);
  });
  ArrowArrayStream stream = items.open();
  GYR_SETUP(gyr_trainer_add_items(twin, &stream, nullptr, err));
  // The catalogue is in once: both draw the same negatives.
  for (gyr_trainer* one : {(gyr_trainer*)t, (gyr_trainer*)twin}) {
    Source rows;
    World::of(f).encoded_rows(&rows);
    stream = rows.open();
    GYR_SETUP(gyr_trainer_fit(one, &stream, nullptr, err));
  }
  EXPECT_EQ(history_of(t), history_of(twin));
}

// The rows of a failed fit are gone. Weights stay those of the last finished epoch, so what comes after a failure is
// compared only when no epoch had finished.
void fit(Fault& f, const char* kind, const char* spec) {
  World& w = World::of(f);
  TrainerHandle t = trainer_of(f, spec);
  if (spec == kNegatives) {
    Source items;
    catalogue(&items);
    ArrowArrayStream stream = items.open();
    GYR_SETUP(gyr_trainer_add_items(t, &stream, nullptr, err));
  }
  Source rows;
  w.encoded_rows(&rows);
  bool began = false;
  f.after_failure([&] { began = history_of(t) != "[]"; });
  gyr_status status = f.call([&](gyr_error* err) {
    ArrowArrayStream stream = rows.open();
    return finish(gyr_trainer_fit(t, &stream, nullptr, err), &stream);
  });
  ModelHandle m;
  GYR_SETUP(gyr_trainer_export(t, m.out(), err));
  if (spec == kNegatives) return;
  std::vector<float> got = answers_of(w, m, kind), want = answers_of(w, w.model(kind), kind);
  if (status == GYR_OK || !began) {
    EXPECT_EQ(got, want);
  }
  for (float x : got) EXPECT_TRUE(std::isfinite(x));
}

FAULT_SCENARIO(gyr_trainer_fit) { fit(f, "dlrm", model_spec("dlrm")); }
FAULT_VARIANT(gyr_trainer_fit, negatives) { fit(f, "dlrm", kNegatives); }
FAULT_VARIANT(gyr_trainer_fit, two_tower) { fit(f, "two_tower", model_spec("two_tower")); }
FAULT_VARIANT(gyr_trainer_fit, ials) { fit(f, "ials", model_spec("ials")); }
FAULT_VARIANT(gyr_trainer_fit, item_knn) { fit(f, "item_knn", model_spec("item_knn")); }
FAULT_VARIANT(gyr_trainer_fit, popularity) { fit(f, "popularity", model_spec("popularity")); }

FAULT_SCENARIO(gyr_trainer_history) {
  gyr_trainer* t = World::of(f).trainer("dlrm");
  char text[1024] = "";
  uint64_t size = 0;
  f.call([&](gyr_error* err) { return gyr_trainer_history(t, text, sizeof text, &size, err); }, &size);
  EXPECT_NE(std::string(text).find("\"epoch\":2"), std::string::npos) << text;
}

void do_export(Fault& f, const char* kind) {
  World& w = World::of(f);
  gyr_trainer* t = w.trainer(kind);
  ModelHandle m;
  f.call([&](gyr_error* err) { return gyr_trainer_export(t, m.out(), err); }, m.out());
  EXPECT_EQ(answers_of(w, m, kind), answers_of(w, w.model(kind), kind));
}

FAULT_SCENARIO(gyr_trainer_export) { do_export(f, "dlrm"); }
FAULT_VARIANT(gyr_trainer_export, two_tower) { do_export(f, "two_tower"); }
FAULT_VARIANT(gyr_trainer_export, ials) { do_export(f, "ials"); }
FAULT_VARIANT(gyr_trainer_export, item_knn) { do_export(f, "item_knn"); }
FAULT_VARIANT(gyr_trainer_export, popularity) { do_export(f, "popularity"); }

FAULT_SCENARIO(gyr_trainer_destroy) {
  TrainerHandle t = trainer_of(f, model_spec("dlrm"));
  f.run([&] { gyr_trainer_destroy(t.release()); });
}

void encode(Fault& f, const char* kind, gyr_side side) {
  World& w = World::of(f);
  gyr_model* m = w.model(kind);
  Source rows(2);
  w.encoded_rows(&rows);
  std::vector<float> out(size_t(36 * 4), NAN), want(size_t(36 * 4));
  uint64_t n = 99;
  f.call(
      [&](gyr_error* err) {
        ArrowArrayStream stream = rows.open();
        return finish(gyr_model_encode(m, side, &stream, out.data(), 36, &n, err), &stream);
      },
      &n);
  EXPECT_EQ(n, 36u);
  ArrowArrayStream stream = rows.open();
  GYR_SETUP(gyr_model_encode(m, side, &stream, want.data(), 36, &n, err));
  EXPECT_EQ(out, want);
}

FAULT_SCENARIO(gyr_model_encode) { encode(f, "two_tower", GYR_SIDE_USER); }
FAULT_VARIANT(gyr_model_encode, items) { encode(f, "two_tower", GYR_SIDE_ITEM); }
FAULT_VARIANT(gyr_model_encode, ials) { encode(f, "ials", GYR_SIDE_USER); }

void predict(Fault& f, const char* kind) {
  World& w = World::of(f);
  gyr_model* m = w.model(kind);
  Source rows;
  w.encoded_rows(&rows);
  std::vector<float> out(18, NAN);
  uint64_t n = 99;
  f.call(
      [&](gyr_error* err) {
        ArrowArrayStream stream = rows.open();
        return finish(gyr_model_predict(m, &stream, out.data(), out.size(), &n, err), &stream);
      },
      &n);
  EXPECT_EQ(n, 18u);
  std::vector<float> want(18);
  ArrowArrayStream stream = rows.open();
  GYR_SETUP(gyr_model_predict(m, &stream, want.data(), want.size(), &n, err));
  EXPECT_EQ(out, want);
}

FAULT_SCENARIO(gyr_model_predict) { predict(f, "dlrm"); }
FAULT_VARIANT(gyr_model_predict, two_tower) { predict(f, "two_tower"); }
FAULT_VARIANT(gyr_model_predict, ials) { predict(f, "ials"); }

void recommend(Fault& f, const char* kind) {
  gyr_model* m = World::of(f).model(kind);
  const int64_t items[] = {3, 6, 4}, offsets[] = {0, 2, 3};
  std::vector<int64_t> out(6, -1), want(6);
  f.call([&](gyr_error* err) {
    return gyr_model_recommend(m, items, offsets, 2, 3, nullptr, nullptr, out.data(), nullptr, err);
  });
  GYR_SETUP(gyr_model_recommend(m, items, offsets, 2, 3, nullptr, nullptr, want.data(), nullptr, err));
  EXPECT_EQ(out, want);
}

FAULT_SCENARIO(gyr_model_recommend) { recommend(f, "ials"); }
FAULT_VARIANT(gyr_model_recommend, item_knn) { recommend(f, "item_knn"); }
FAULT_VARIANT(gyr_model_recommend, popularity) { recommend(f, "popularity"); }

FAULT_SCENARIO(gyr_model_describe) {
  gyr_model* m = World::of(f).model("dlrm");
  std::string want = description_of(m), text(want.size() + 1, 0);
  uint64_t size = 0;
  f.call([&](gyr_error* err) { return gyr_model_describe(m, text.data(), text.size(), &size, err); }, &size);
  EXPECT_EQ(text.c_str(), want);
}

void save(Fault& f, const char* kind) {
  World& w = World::of(f);
  gyr_model* m = w.model(kind);
  std::string path = w.path("model.gyr");
  f.call([&](gyr_error* err) { return gyr_model_save(m, path.c_str(), err); });
  EXPECT_EQ(w.files(), std::vector<std::string>{"model.gyr"});
  ModelHandle opened;
  GYR_SETUP(gyr_model_open(w.runtime(), path.c_str(), opened.out(), err));
  EXPECT_EQ(answers_of(w, opened, kind), answers_of(w, m, kind));
}

FAULT_SCENARIO(gyr_model_save) { save(f, "dlrm"); }
FAULT_VARIANT(gyr_model_save, two_tower) { save(f, "two_tower"); }
FAULT_VARIANT(gyr_model_save, ials) { save(f, "ials"); }
FAULT_VARIANT(gyr_model_save, item_knn) { save(f, "item_knn"); }
FAULT_VARIANT(gyr_model_save, popularity) { save(f, "popularity"); }

void open(Fault& f, const char* kind) {
  World& w = World::of(f);
  std::string path = w.path("model.gyr");
  if (w.files().empty()) GYR_SETUP(gyr_model_save(w.model(kind), path.c_str(), err));
  gyr_runtime* runtime = w.runtime();
  ModelHandle m;
  f.call([&](gyr_error* err) { return gyr_model_open(runtime, path.c_str(), m.out(), err); }, m.out());
  EXPECT_EQ(answers_of(w, m, kind), answers_of(w, w.model(kind), kind));
}

FAULT_SCENARIO(gyr_model_open) { open(f, "dlrm"); }
FAULT_VARIANT(gyr_model_open, two_tower) { open(f, "two_tower"); }
FAULT_VARIANT(gyr_model_open, ials) { open(f, "ials"); }
FAULT_VARIANT(gyr_model_open, item_knn) { open(f, "item_knn"); }
FAULT_VARIANT(gyr_model_open, popularity) { open(f, "popularity"); }

FAULT_SCENARIO(gyr_model_destroy) {
  ModelHandle m;
  GYR_SETUP(gyr_trainer_export(World::of(f).trainer("dlrm"), m.out(), err));
  f.run([&] { gyr_model_destroy(m.release()); });
}

}  // namespace
}  // namespace gyr::test
