// two_tower and dlrm: gradients of the whole step, what they learn, seeds, continuing, stopping, diverging.
#include <algorithm>

#include "model/dlrm.h"
#include "model/two_tower.h"
#include "tests/model/common.h"

namespace gyr {
namespace {

using namespace gyr::testing;

constexpr int64_t kItems = 12;
const std::string kSchema = schema({list("history", kItems, "user", "item"), code("kind", 4, "user"),
                                    number("age", "user"), code("item", kItems, "item", "item"),
                                    list("tags", 5, "item"), number("price", "item"), number("hour", "context")});

Batch rows(int64_t n, uint64_t seed = 1) {
  Random random(seed);
  Lists history, tags;
  Ints kind, item;
  std::vector<double> age, price, hour, label, weight;
  for (int64_t r = 0; r < n; r++) {
    auto draw = [&](uint64_t most, uint64_t cardinality) {
      Ints out;
      for (uint64_t i = random.below(most + 1); i > 0; i--) out.push_back(int64_t(random.below(cardinality)));
      return out;
    };
    history.push_back(draw(4, kItems));
    tags.push_back(draw(3, 5));
    kind.push_back(int64_t(random.below(4)));
    item.push_back(int64_t(random.below(kItems)));
    age.push_back(random.normal());
    price.push_back(random.normal());
    hour.push_back(random.uniform());
    label.push_back(double(random.below(2)));
    weight.push_back(random.uniform());
  }
  return Rows()
      .lists("history", history)
      .ints("kind", kind)
      .floats("age", age)
      .ints("item", item)
      .lists("tags", tags)
      .floats("price", price)
      .floats("hour", hour)
      .floats("label", label)
      .floats("weight", weight)
      .batch;
}

// Opens a trainer for a look at its gradients.
template <class Base>
struct Probe : Base {
  using Base::Base;
  using Base::gradients;
  using Base::gradients_;
  using Base::prepare;
  using Base::row_gradients_;
  using Base::weights_;

  double loss(std::span<const uint32_t> batch, uint64_t step) {
    double value = *gradients(batch, step);
    for (RowGradients& g : row_gradients_) g.clear();
    return value;
  }

  // Central differences over all weights. Relu edges spoil single entries, so the whole arrays are compared:
  // |grad - expected| / |expected|.
  void check(std::span<const uint32_t> batch, uint64_t step) {
    Random random(1);
    for (float& w : weights_.dense) w += float(random.normal() * 0.1);  // biases of 0 may sit on an edge exactly
    ASSERT_TRUE(ok(gradients(batch, step).status()));
    std::vector<std::pair<Floats*, std::vector<float>>> all;
    all.push_back({&weights_.dense, std::vector<float>(gradients_.begin(), gradients_.end())});
    for (size_t t = 0; t < weights_.tables.size(); t++) {
      Floats& table = weights_.tables[t];
      size_t d = table.size() / size_t(table_rows[t]);
      std::vector<float> grad(table.size(), 0.0f);
      for (uint32_t r = 0; r < table_rows[t]; r++)
        if (const float* g = row_gradients_[t].of(r)) std::copy_n(g, d, grad.data() + r * d);
      row_gradients_[t].clear();
      all.push_back({&table, grad});
    }
    for (size_t a = 0; a < all.size(); a++) {
      auto& [w, grad] = all[a];
      double error = 0, size = 0;
      for (size_t i = 0; i < w->size(); i++) {
        float old = (*w)[i];
        (*w)[i] = old + 1e-3f;
        double up = loss(batch, step), at_up = (*w)[i];
        (*w)[i] = old - 1e-3f;
        double down = loss(batch, step), at_down = (*w)[i];
        (*w)[i] = old;
        double expected = (up - down) / (at_up - at_down);
        error += (expected - grad[i]) * (expected - grad[i]);
        size += expected * expected;
      }
      EXPECT_GT(size, 1e-6) << "array " << a;
      EXPECT_LT(std::sqrt(error / size), 5e-3) << "array " << a;
    }
  }
  std::vector<int64_t> table_rows;
};

template <class Spec>
Spec parsed(const std::string& json) {
  Json spec = *parse_json(json, "model");
  SpecReader r(spec, "", "model");
  for (const char* key : {"version", "kind"}) r.value(key);
  Spec out;
  EXPECT_TRUE(ok(Spec::read(r, *schema_from_json(kSchema), &out)));
  return out;
}

const std::vector<uint32_t> kBatch = {3, 3, 0, 7, 1, 9, 5};

TEST(TwoTower, GradientsOfTheWholeStep) {
  for (const char* extra : {"", R"(,"l2_normalize":true,"temperature":0.3)", R"(,"item_bias":true,"logq":0.5)"}) {
    Probe<TowerTrainer> t(runtime(2), parsed<TowerSpec>(std::string(R"({"dim":5,"embedding_dim":3,"hidden":[6],
        "user_hidden":[8,6],"init_stddev":0.7,"seed":4)") +
                                                        extra + "}"));
    t.table_rows = {kItems, 4, 5, kItems};  // history and item share a table; the last one holds the item biases
    ASSERT_TRUE(ok(t.add_rows(rows(10))));
    ASSERT_TRUE(ok(t.prepare(std::vector<double>(10, 0.1))));
    t.check(kBatch, 0);
  }
}

TEST(Dlrm, GradientsOfTheWholeStep) {
  for (const char* extra : {R"("label":"label")", R"("label":"label","user_features":["history","kind"],
                            "item_features":["item","tags"],"context_features":[])",
                            R"("negatives":{"per_positive":2,"exclude":"history"},"item":"item")"}) {
    Probe<DlrmTrainer> t(runtime(2), parsed<DlrmSpec>(std::string(R"({"dim":3,"bottom":[5,3],"top":[6,4],
        "init_stddev":0.7,"seed":4,)") + extra + "}"));
    t.table_rows = {kItems, 4, 5};
    // A column of excluded codes is no feature, so the item's table comes after kind's.
    if (std::string(extra).find("exclude") != std::string::npos) t.table_rows = {4, kItems, 5};
    ASSERT_TRUE(ok(t.add_items(rows(8, 5))));
    ASSERT_TRUE(ok(t.add_rows(rows(10))));
    ASSERT_TRUE(ok(t.prepare(std::vector<double>(10, 0.1))));
    t.check(kBatch, 6);
  }
}

TEST(Dlrm, LossIsTheMeanBinaryCrossEntropyOfPredict) {
  Probe<DlrmTrainer> t(runtime(), parsed<DlrmSpec>(R"({"dim":3,"label":"label","epochs":1,"init_stddev":0.5})"));
  Batch b = rows(20);
  ASSERT_TRUE(ok(t.add_rows(b)));
  ASSERT_TRUE(ok(t.fit(nullptr)));
  std::vector<uint32_t> all;
  for (uint32_t i = 0; i < 20; i++) all.push_back(i);
  std::vector<float> p = predicted(*exported(t), b);
  const Column& label = b.columns[size_t(b.find("label"))];
  double expected = 0;
  for (size_t i = 0; i < 20; i++) expected -= std::log(label.floats[i] > 0 ? double(p[i]) : 1 - double(p[i])) / 20;
  EXPECT_NEAR(t.loss(all, 0), expected, 1e-4);
}

constexpr int64_t kGroups = 8, kPerGroup = 10, kPlanted = 3 + kGroups * kPerGroup;

TEST(TwoTower, LearnsPlantedGroups) {
  // A user's history lies in one group, and so does the next item. Skewed items make logQ matter.
  Random random(3);
  auto item_of = [&](int64_t g) {
    return 3 + g * kPerGroup + int64_t(random.uniform() * random.uniform() * kPerGroup);
  };
  auto world = [&](int64_t n, Lists* history, Ints* target) {
    for (int64_t r = 0; r < n; r++) {
      int64_t g = r % kGroups;
      history->push_back({item_of(g), item_of(g), item_of(g)});
      target->push_back(item_of(g));
    }
  };
  Lists history, unseen;
  Ints target, ignored, items;
  world(4000, &history, &target);
  world(80, &unseen, &ignored);
  for (int64_t i = 3; i < kPlanted; i++) items.push_back(i);
  auto t = trainer(runtime(2), R"({"version":1,"kind":"two_tower","dim":16,"hidden":[16],"batch":128,"epochs":5,
      "learning_rate":0.01})",
                   schema({list("history", kPlanted, "user", "item"), code("item", kPlanted, "item", "item")}));
  ASSERT_TRUE(ok(fit(*t, Rows().lists("history", history).ints("item", target).batch)));
  auto m = exported(*t);
  std::vector<float> u = encoded(*m, GYR_SIDE_USER, Rows().lists("history", unseen).batch);
  std::vector<float> v = encoded(*m, GYR_SIDE_ITEM, Rows().ints("item", items).batch);
  double hits = 0;
  for (size_t r = 0; r < 80; r++) {
    std::vector<std::pair<float, size_t>> ranked;
    for (size_t i = 0; i < items.size(); i++) {
      float dot = 0;
      for (size_t c = 0; c < 16; c++) dot += u[r * 16 + c] * v[i * 16 + c];
      ranked.push_back({-dot, i});
    }
    std::sort(ranked.begin(), ranked.end());
    for (size_t i = 0; i < 10; i++) hits += int64_t(ranked[i].second) / kPerGroup == int64_t(r) % kGroups;
  }
  EXPECT_GT(hits / 800, 0.9);
  const Json& h = t->history();
  EXPECT_LT(h[h.size() - 1].find("loss")->number(), h[0].find("loss")->number());
}

TEST(TwoTower, LogqRanksByProbabilityNotByLift) {
  // Items drawn with p ~ 1 / rank by users who are all alike: with the correction the scores follow ln p, without it
  // popularity is cancelled. Slope of the scores over ln(count).
  constexpr int64_t kN = 100;
  Random random(4);
  Ints target;
  std::vector<double> count(kN, 0.0);
  for (int i = 0; i < 20000; i++) {
    target.push_back(int64_t(std::pow(double(kN), random.uniform())) % kN);
    count[size_t(target.back())]++;
  }
  Batch b = Rows().ints("kind", Ints(target.size(), 1)).ints("item", target).batch, all;
  Ints every;
  for (int64_t i = 1; i < kN; i++) every.push_back(i);
  all = Rows().ints("kind", Ints(every.size(), 1)).ints("item", every).batch;
  std::string s = schema({code("kind", 4, "user"), code("item", kN, "item")});
  for (auto [logq, expected] : {std::pair{"1", 1.0}, {"0", 0.0}}) {
    auto t = trainer(runtime(),
                     std::string(R"({"version":1,"kind":"two_tower","dim":4,"hidden":[],"batch":16,
        "epochs":6,"learning_rate":0.01,"logq":)") +
                         logq + "}",
                     s);
    ASSERT_TRUE(ok(fit(*t, b)));
    std::vector<float> p = predicted(*exported(*t), all);
    double n = 0, x = 0, y = 0, xx = 0, xy = 0;
    for (size_t i = 0; i < every.size(); i++) {
      double lx = std::log(count[size_t(every[i])]);
      n++, x += lx, y += p[i], xx += lx * lx, xy += lx * p[i];
    }
    EXPECT_NEAR((n * xy - x * y) / (n * xx - x * x), expected, 0.3) << "logq " << logq;
  }
}

TEST(TwoTower, SamplingWeightsSteerRowsAndQAlike) {
  // Rows of item 4 have no weight: it is never drawn, and being no candidate it is not pushed down either.
  Ints target, kind;
  std::vector<double> weight;
  for (int i = 0; i < 600; i++) {
    target.push_back(3 + i % 3);
    kind.push_back(i % 3);
    weight.push_back(i % 3 == 1 ? 0 : i % 3 == 0 ? 3 : 1);
  }
  Probe<TowerTrainer> t(runtime(), [] {
    Json spec = *parse_json(R"({"dim":4,"hidden":[],"batch":64,"epochs":3,"sampling":{"column":"weight"}})", "model");
    SpecReader r(spec, "", "model");
    TowerSpec out;
    EXPECT_TRUE(
        ok(TowerSpec::read(r, *schema_from_json(schema({code("kind", 4, "user"), code("item", 6, "item")})), &out)));
    return out;
  }());
  std::vector<float> before(t.weights_.tables[1].begin(), t.weights_.tables[1].end());
  ASSERT_TRUE(ok(t.add_rows(Rows().ints("kind", kind).ints("item", target).floats("weight", weight).batch)));
  ASSERT_TRUE(ok(t.fit(nullptr)));
  const Floats& after = t.weights_.tables[1];
  for (size_t c = 0; c < 4; c++) {
    EXPECT_EQ(after[4 * 4 + c], before[4 * 4 + c]);
    EXPECT_NE(after[3 * 4 + c], before[3 * 4 + c]);
  }
  // q from the total weight: 600 and 200 of 800.
  std::vector<double> p(600);
  for (size_t i = 0; i < 600; i++) p[i] = weight[i] / 800;
  ASSERT_TRUE(ok(t.prepare(p)));
  std::vector<uint32_t> pair = {0, 2};
  for (auto& table : t.weights_.tables) std::fill(table.begin(), table.end(), 0.0f);
  std::fill(t.weights_.dense.begin(), t.weights_.dense.end(), 0.0f);
  // All logits 0: loss = mean over rows of ln sum exp(-ln q_j) + ln q_i, q = 3/4, 1/4.
  double sum = std::log(4.0 / 3 + 4);
  EXPECT_NEAR(t.loss(pair, 0), sum + (std::log(.75) + std::log(.25)) / 2, 1e-5);
}

double auc(const std::vector<float>& p, const std::vector<double>& y) {
  double wins = 0, pairs = 0;
  for (size_t i = 0; i < p.size(); i++)
    for (size_t j = 0; j < p.size(); j++)
      if (y[i] > y[j]) pairs++, wins += p[i] > p[j] ? 1 : p[i] == p[j] ? 0.5 : 0;
  return wins / pairs;
}

TEST(Dlrm, LearnsPlantedInteractions) {
  // Likes when user and item group agree; either alone says nothing.
  Random random(6);
  auto world = [&](size_t n, std::vector<double>* y) {
    Ints user, item;
    std::vector<double> noise;
    for (size_t i = 0; i < n; i++) {
      user.push_back(int64_t(random.below(40)));
      item.push_back(int64_t(random.below(40)));
      noise.push_back(random.normal());
      y->push_back(user.back() % 4 == item.back() % 4);
    }
    return Rows().ints("user", user).ints("item", item).floats("noise", noise).floats("label", *y).batch;
  };
  std::vector<double> y, unseen;
  Batch train = world(6000, &y), test = world(800, &unseen);
  for (const char* optimizer : {R"("adam","learning_rate":0.01)", R"("adagrad","learning_rate":0.05)"}) {
    auto t = trainer(runtime(2),
                     std::string(R"({"version":1,"kind":"dlrm","label":"label","dim":8,"bottom":[16,8],
        "top":[32,16],"batch":128,"epochs":8,"optimizer":)") +
                         optimizer + "}",
                     schema({code("user", 40, "user"), code("item", 40, "item"), number("noise", "context")}));
    ASSERT_TRUE(ok(fit(*t, train)));
    EXPECT_GT(auc(predicted(*exported(*t), test), unseen), 0.9) << optimizer;
  }
}

TEST(Dlrm, NegativesOfTheCatalogueTeachTheSame) {
  Random random(7);
  Ints user, item, all;
  Lists same;  // the other items of the user's group are likes not shown: never drawn
  for (int i = 0; i < 3000; i++) {
    user.push_back(int64_t(random.below(20)));
    item.push_back(int64_t(random.below(10)) * 4 + user.back() % 4);
    Ints group;
    for (int64_t k = 0; k < 10; k++) group.push_back(k * 4 + user.back() % 4);
    same.push_back(group);
  }
  for (int64_t i = 0; i < 40; i++) all.push_back(i);
  for (const char* distribution : {"uniform", "popularity"}) {
    auto t = trainer(runtime(),
                     std::string(R"({"version":1,"kind":"dlrm","dim":8,"batch":128,"epochs":6,"item":"item",
        "learning_rate":0.01,"negatives":{"per_positive":3,"exclude":"same","distribution":")") +
                         distribution + "\"}}",
                     schema({code("user", 20, "user"), code("item", 40, "item")}));
    Batch b = Rows().ints("user", user).ints("item", item).lists("same", same).batch;
    EXPECT_TRUE(fails(fit(*t, b), GYR_E_INVALID_STATE, {"add_items"}));
    ASSERT_TRUE(ok(t->add_items(Rows().ints("item", all).batch)));
    ASSERT_TRUE(ok(fit(*t, b)));
    Ints users, items;
    std::vector<double> y;
    for (int64_t u = 0; u < 20; u++)
      for (int64_t i = 0; i < 40; i++) users.push_back(u), items.push_back(i), y.push_back(u % 4 == i % 4);
    EXPECT_GT(auc(predicted(*exported(*t), Rows().ints("user", users).ints("item", items).batch), y), 0.95)
        << distribution;
  }
}

const char* kSpecs[] = {
    R"({"version":1,"kind":"two_tower","dim":8,"hidden":[8],"batch":64,"seed":SEED,"epochs":EPOCHS})",
    R"({"version":1,"kind":"two_tower","dim":8,"hidden":[8],"batch":70,"seed":SEED,"epochs":EPOCHS,"drop_last":false,
        "sampling":{"decay_rows":100},"item_bias":true,"l2":0.001})",
    R"({"version":1,"kind":"dlrm","label":"label","dim":8,"batch":130,"seed":SEED,"epochs":EPOCHS,"optimizer":"adagrad",
        "sampling":{"column":"weight"}})",
    R"({"version":1,"kind":"dlrm","item":"item","negatives":{"per_positive":3},"dim":4,"batch":100,"seed":SEED,
        "epochs":EPOCHS})"};

std::unique_ptr<Trainer> prepared(std::string spec, int seed, int epochs, uint32_t threads = 1) {
  spec.replace(spec.find("SEED"), 4, std::to_string(seed));
  spec.replace(spec.find("EPOCHS"), 6, std::to_string(epochs));
  auto t = trainer(runtime(threads), spec, kSchema);
  EXPECT_TRUE(ok(t->add_items(rows(8, 5))));
  return t;
}

TEST(Networks, SameSeedSameBitsWhateverTheThreads) {
  Batch b = rows(300);
  for (const char* spec : kSpecs) {
    std::vector<std::vector<uint8_t>> files;
    for (auto [seed, threads] : {std::pair{1, 1u}, {1, 2u}, {1, 4u}, {2, 1u}}) {
      auto t = prepared(spec, seed, 3, threads);
      ASSERT_TRUE(ok(fit(*t, b)));
      files.push_back(bytes_of(*exported(*t)));
    }
    EXPECT_EQ(files[0], files[1]) << spec;
    EXPECT_EQ(files[0], files[2]) << spec;
    EXPECT_NE(files[0], files[3]) << spec;
  }
}

TEST(Networks, FittingAgainContinues) {
  Batch b = rows(300);
  for (const char* spec : kSpecs) {
    auto once = prepared(spec, 1, 4), twice = prepared(spec, 1, 2);
    ASSERT_TRUE(ok(fit(*once, b)));
    ASSERT_TRUE(ok(fit(*twice, b)));
    ASSERT_TRUE(ok(fit(*twice, b)));
    EXPECT_EQ(bytes_of(*exported(*once)), bytes_of(*exported(*twice))) << spec;
    ASSERT_EQ(twice->history().size(), 4u);
    EXPECT_EQ(twice->history()[3].find("epoch")->int64(), 4);
    EXPECT_EQ(*twice->history()[3].find("loss"), *once->history()[3].find("loss"));
  }
}

TEST(Networks, AStoppedFitKeepsTheLastFinishedEpoch) {
  Batch b = rows(300);
  for (const char* spec : kSpecs) {
    gyr_task task;
    task.cancelled = true;
    auto t = prepared(spec, 1, 100000, 2);
    EXPECT_EQ(fit(*t, b, &task).code(), GYR_E_CANCELLED);
    EXPECT_TRUE(fails(t->export_model().status(), GYR_E_INVALID_STATE, {"not fitted"}));
    task.cancelled = false;
    for (int64_t ms = 150; t->history().empty() && ms < 60'000; ms *= 2) {  // a busy machine may need longer
      t = prepared(spec, 1, 100000, 2);
      task.deadline_ns = monotonic_ns() + ms * 1'000'000;
      EXPECT_EQ(fit(*t, b, &task).code(), GYR_E_DEADLINE);
    }
    int epochs = int(t->history().size());
    ASSERT_GE(epochs, 1);
    auto again = prepared(spec, 1, epochs);
    ASSERT_TRUE(ok(fit(*again, b)));
    EXPECT_EQ(bytes_of(*exported(*t)), bytes_of(*exported(*again))) << spec;
  }
}

TEST(Networks, ADivergedFitKeepsTheLastFinishedEpoch) {
  Batch good = rows(300), bad = rows(300);
  for (double& v : bad.columns[size_t(bad.find("price"))].floats) v = 3e38;
  for (const char* spec : kSpecs) {
    if (std::string(spec).find("negatives") != std::string::npos) continue;
    auto t = prepared(spec, 1, 2);
    ASSERT_TRUE(ok(fit(*t, good)));
    auto before = bytes_of(*exported(*t));
    EXPECT_TRUE(fails(fit(*t, bad), GYR_E_INVALID_ARGUMENT, {"not finite", "learning_rate"})) << spec;
    EXPECT_EQ(bytes_of(*exported(*t)), before) << spec;
    ASSERT_TRUE(ok(fit(*t, good)));
    auto straight = prepared(spec, 1, 4);
    ASSERT_TRUE(ok(fit(*straight, good)));
    EXPECT_EQ(bytes_of(*exported(*t)), bytes_of(*exported(*straight))) << spec;  // optimizer state went back too
  }
}

TEST(Networks, WeightDecayShrinksTheWeights) {
  Batch b = rows(300);
  double norms[2];
  for (int i = 0; i < 2; i++) {
    Probe<DlrmTrainer> t(runtime(), parsed<DlrmSpec>(std::string(R"({"dim":4,"label":"label","epochs":30,"batch":50,
        "learning_rate":0.01,"l2":)") + (i ? "0.1}" : "0}")));
    ASSERT_TRUE(ok(t.add_rows(b)));
    ASSERT_TRUE(ok(t.fit(nullptr)));
    norms[i] = 0;
    for (float w : t.weights_.dense) norms[i] += double(w) * w;
  }
  EXPECT_LT(norms[1], 0.7 * norms[0]);
}

}  // namespace
}  // namespace gyr
