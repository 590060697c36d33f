// popularity, item_knn and ials against oracles written here: counts, brute force, normal equations in double.
#include <algorithm>
#include <map>
#include <set>

#include "kernels/kernels.h"
#include "model/ials.h"
#include "tests/model/common.h"

namespace gyr {
namespace {

using namespace gyr::testing;

constexpr int64_t kUsers = 40, kItems = 30;
const std::string kSchema = schema({code("user", kUsers, "user"), code("item", kItems, "item")});

struct Events {
  Ints users, items;
  Batch batch() const { return Rows().ints("user", users).ints("item", items).batch; }
  std::map<int64_t, std::set<int64_t>> by_user() const {
    std::map<int64_t, std::set<int64_t>> out;
    for (size_t i = 0; i < users.size(); i++)
      if (items[i] >= 3) out[users[i]].insert(items[i]);
    return out;
  }
};

// Skewed items, with reserved codes among them and repeats.
Events events(size_t n, uint64_t seed) {
  Random random(seed);
  Events e;
  for (size_t i = 0; i < n; i++) {
    double u = random.uniform();
    e.users.push_back(int64_t(random.below(kUsers)));
    e.items.push_back(int64_t(u * u * double(kItems)));
  }
  return e;
}

struct Lists1 {
  std::vector<int64_t> items, offsets{0};
  void add(const Ints& row) {
    items.insert(items.end(), row.begin(), row.end());
    offsets.push_back(int64_t(items.size()));
  }
};

struct Answer {
  Ints items;
  std::vector<float> scores;
};

Answer recommend(const Model& m, const Ints& history, uint32_t k, const Ints* exclude = nullptr) {
  Answer a{Ints(k, -1), std::vector<float>(k)};
  int64_t offsets[2] = {0, int64_t(history.size())}, none[2] = {0, exclude ? int64_t(exclude->size()) : 0};
  EXPECT_TRUE(ok(m.recommend(history.data(), offsets, 1, k, exclude ? exclude->data() : nullptr,
                             exclude ? none : nullptr, a.items.data(), a.scores.data())));
  return a;
}

TEST(Popularity, CountsTiesByCodeAndLeavesOutTheHistory) {
  auto t = trainer(runtime(), R"({"version":1,"kind":"popularity"})", kSchema);
  Events e;
  e.items = {9, 5, 5, 9, 7, 2, 2, 2, 0, 1, 4};  // reserved codes 0..2 are no items
  e.users.assign(e.items.size(), 0);
  ASSERT_TRUE(ok(fit(*t, e.batch())));
  auto m = exported(*t);
  Answer a = recommend(*m, {}, 6);
  EXPECT_EQ(a.items, (Ints{5, 9, 4, 7, 0, 0}));
  EXPECT_EQ(a.scores[0], 2);
  EXPECT_EQ(a.scores[3], 1);
  EXPECT_TRUE(std::isnan(a.scores[4]));
  EXPECT_EQ(recommend(*m, {5, 7}, 3).items, (Ints{9, 4, 0}));
  Ints nothing;
  EXPECT_EQ(recommend(*m, {5, 7}, 2, &nothing).items, (Ints{5, 9}));
  // A second fit sees the union.
  Events more;
  more.items = {7, 7}, more.users = {1, 1};
  ASSERT_TRUE(ok(fit(*t, more.batch())));
  EXPECT_EQ(recommend(*exported(*t), {}, 2).items, (Ints{7, 5}));
  EXPECT_EQ(recommend(*m, {}, 1).items, (Ints{5}));  // the exported model is a copy
}

TEST(Popularity, WindowAndHalfLife) {
  Events e;
  e.items = {5, 5, 5, 6, 7, 6};
  e.users.assign(6, 0);
  auto window = trainer(runtime(), R"({"version":1,"kind":"popularity","recency":{"window_events":3}})", kSchema);
  ASSERT_TRUE(ok(fit(*window, e.batch())));
  EXPECT_EQ(recommend(*exported(*window), {}, 3).items, (Ints{6, 7, 0}));
  auto half = trainer(runtime(), R"({"version":1,"kind":"popularity","recency":{"half_life_events":2}})", kSchema);
  ASSERT_TRUE(ok(fit(*half, e.batch())));
  Answer a = recommend(*exported(*half), {}, 3);
  EXPECT_EQ(a.items, (Ints{6, 5, 7}));
  EXPECT_NEAR(a.scores[0], 1 + std::exp2(-1.0), 1e-6);
  EXPECT_NEAR(a.scores[1], std::exp2(-2.5) + std::exp2(-2.0) + std::exp2(-1.5), 1e-6);
  EXPECT_TRUE(fails(Trainer::create(runtime(), R"({"version":1,"kind":"popularity","recency":{}})", kSchema).status(),
                    GYR_E_INVALID_ARGUMENT, {"recency"}));
}

TEST(ItemKnn, EqualsBruteForce) {
  Events e = events(500, 3);
  auto lists = e.by_user();
  for (auto [neighbours, shrink] : {std::pair{100, 0.0}, {4, 0.0}, {6, 10.0}}) {
    auto t = trainer(runtime(2),
                     R"({"version":1,"kind":"item_knn","neighbors":)" + std::to_string(neighbours) + R"(,"shrink":)" +
                         std::to_string(shrink) + "}",
                     kSchema);
    ASSERT_TRUE(ok(fit(*t, e.batch())));
    auto m = exported(*t);
    double count[kItems] = {}, both[kItems][kItems] = {};
    for (const auto& [u, items] : lists)
      for (int64_t i : items) {
        count[i]++;
        for (int64_t j : items) both[i][j] += i != j;
      }
    // nearest[i]: the neighbours that item i keeps.
    std::map<int64_t, std::vector<std::pair<float, int64_t>>> nearest;
    for (int64_t i = 3; i < kItems; i++) {
      for (int64_t j = 3; j < kItems; j++)
        if (both[i][j] > 0) nearest[i].push_back({-float(both[i][j] / (std::sqrt(count[i] * count[j]) + shrink)), j});
      std::sort(nearest[i].begin(), nearest[i].end());
      nearest[i].resize(std::min(nearest[i].size(), size_t(neighbours)));
    }
    for (const Ints& history : {Ints{3}, {4, 9, 20}, {29, 5, 5, 1, 0}, {}, {2}}) {
      std::vector<std::pair<double, int64_t>> ranked;
      std::map<int64_t, double> score;
      for (int64_t i = 3; i < kItems; i++) {
        for (auto [s, j] : nearest[i])
          for (int64_t h : history) score[i] -= h == j ? double(s) : 0;
        bool seen = std::find(history.begin(), history.end(), i) != history.end();
        if (score[i] > 0 && !seen) ranked.push_back({-score[i], i});
      }
      std::sort(ranked.begin(), ranked.end());
      Answer a = recommend(*m, history, 8);
      for (size_t r = 0; r < 8; r++) {
        if (r >= ranked.size()) {
          EXPECT_EQ(a.items[r], 0);
          continue;
        }
        ASSERT_NEAR(a.scores[r], -ranked[r].first, 1e-5);
        ASSERT_NEAR(score[a.items[r]], -ranked[r].first, 1e-5) << "item " << a.items[r];
      }
      if (history.empty()) continue;
      Batch pairs = Rows()
                        .lists("history", Lists(kItems, history))
                        .ints("item",
                              [] {
                                Ints all;
                                for (int64_t i = 0; i < kItems; i++) all.push_back(i);
                                return all;
                              }())
                        .batch;
      std::vector<float> p = predicted(*m, pairs);
      for (int64_t i = 3; i < kItems; i++) ASSERT_NEAR(p[size_t(i)], score[i], 1e-5);
    }
  }
}

// Gaussian elimination with pivots: a x = b.
std::vector<double> solve(std::vector<std::vector<double>> a, std::vector<double> b) {
  size_t n = b.size();
  for (size_t c = 0; c < n; c++) {
    size_t p = c;
    for (size_t r = c; r < n; r++)
      if (std::fabs(a[r][c]) > std::fabs(a[p][c])) p = r;
    std::swap(a[c], a[p]), std::swap(b[c], b[p]);
    for (size_t r = 0; r < n; r++) {
      if (r == c) continue;
      double f = a[r][c] / a[c][c];
      for (size_t k = c; k < n; k++) a[r][k] -= f * a[c][k];
      b[r] -= f * b[c];
    }
  }
  for (size_t c = 0; c < n; c++) b[c] /= a[c][c];
  return b;
}

TEST(Ials, CholeskySolvesOrRefuses) {
  Random random(1);
  for (size_t n : {1, 2, 7, 33}) {
    std::vector<float> root = normals(random, n * n), a(n * n, NAN), x = normals(random, n);
    std::vector<std::vector<double>> full(n, std::vector<double>(n));
    for (size_t i = 0; i < n; i++)
      for (size_t j = 0; j < n; j++) {
        full[i][j] = i == j ? 1.0 : 0.0;
        for (size_t k = 0; k < n; k++) full[i][j] += double(root[i * n + k]) * root[j * n + k];
        if (j >= i) a[i * n + j] = float(full[i][j]);  // the lower triangle is never read
      }
    std::vector<double> expected = solve(full, std::vector<double>(x.begin(), x.end()));
    ASSERT_TRUE(::gyr::kernels::best().solve_positive_definite(a.data(), x.data(), n));
    for (size_t i = 0; i < n; i++) EXPECT_NEAR(x[i], expected[i], 1e-3) << n;
  }
  std::vector<float> x(2, 1.0f);
  for (std::vector<float> bad : {std::vector<float>{1, 2, 0, 1}, {0, 0, 0, 1}, {1, 0, 0, NAN}, {INFINITY, 0, 0, 1}})
    EXPECT_FALSE(::gyr::kernels::best().solve_positive_definite(bad.data(), x.data(), 2));
}

struct Oracle {
  size_t d;
  double alpha, l2, nu;
  using Matrix = std::map<int64_t, std::vector<double>>;
  std::vector<double> row(const Matrix& other, const std::set<int64_t>& positives) const {
    std::vector<std::vector<double>> a(d, std::vector<double>(d, 0.0));
    std::vector<double> b(d, 0.0);
    for (const auto& [id, v] : other) {
      bool positive = positives.count(id) > 0;
      for (size_t i = 0; i < d; i++) {
        if (positive) b[i] += v[i];
        for (size_t j = 0; j < d; j++) a[i][j] += (alpha + positive) * v[i] * v[j];
      }
    }
    double reg = l2 * std::pow(double(positives.size()) + alpha * double(other.size()), nu);
    for (size_t i = 0; i < d; i++) a[i][i] += reg;
    return solve(a, b);
  }
};

TEST(Ials, MatchesADoubleOracleAndTheObjectiveFalls) {
  Events e = events(600, 5);
  auto by_user = e.by_user();
  std::map<int64_t, std::set<int64_t>> by_item;
  for (const auto& [u, items] : by_user)
    for (int64_t i : items) by_item[i].insert(u);
  for (double nu : {1.0, 0.0}) {
    Oracle o{6, 0.3, 0.05, nu};
    std::string spec = R"({"version":1,"kind":"ials","dim":6,"epochs":4,"alpha":0.3,"l2":0.05,"seed":11,"stddev":0.5,
        "frequency_scaling":)" +
                       std::to_string(nu) + "}";
    auto t = trainer(runtime(2), spec, kSchema);
    ASSERT_TRUE(ok(fit(*t, e.batch())));
    Oracle::Matrix x, y;
    for (const auto& [i, users] : by_item) {
      Random random(11, uint64_t(i));
      for (size_t c = 0; c < o.d; c++) y[i].push_back(random.normal() * 0.5 / std::sqrt(double(o.d)));
    }
    for (int epoch = 0; epoch < 4; epoch++) {
      for (const auto& [u, items] : by_user) x[u] = o.row(y, items);
      for (const auto& [i, users] : by_item) y[i] = o.row(x, users);
    }
    auto m = exported(*t);
    Ints codes;
    for (int64_t i = 0; i < kItems; i++) codes.push_back(i);
    std::vector<float> factors = encoded(*m, GYR_SIDE_ITEM, Rows().ints("item", codes).batch);
    for (int64_t i = 0; i < kItems; i++)
      for (size_t c = 0; c < o.d; c++)
        ASSERT_NEAR(factors[size_t(i) * o.d + c], by_item.count(i) ? y[i][c] : 0.0, 2e-3) << "item " << i;

    // Fold-in is the half step that training would take next.
    Lists histories;
    for (const auto& [u, items] : by_user) histories.push_back(Ints(items.begin(), items.end()));
    histories.push_back({});
    histories.push_back({1, 2, 0});  // reserved codes alone say nothing
    std::vector<float> users = encoded(*m, GYR_SIDE_USER, Rows().lists("history", histories).batch);
    size_t r = 0;
    for (const auto& [u, items] : by_user) {
      std::vector<double> expected = o.row(y, items);
      for (size_t c = 0; c < o.d; c++) ASSERT_NEAR(users[r * o.d + c], expected[c], 2e-3);
      r++;
    }
    for (size_t c = r * o.d; c < users.size(); c++) EXPECT_EQ(users[c], 0);

    const Json& history = t->history();
    ASSERT_EQ(history.size(), 4u);
    for (size_t i = 1; i < 4; i++) EXPECT_LT(history[i].find("loss")->number(), history[i - 1].find("loss")->number());
    // The last objective, term by term.
    double loss = 0;
    for (const auto& [u, items] : by_user) {
      double norm = 0;
      for (double v : x[u]) norm += v * v;
      loss += o.l2 * std::pow(double(items.size()) + o.alpha * double(by_item.size()), nu) * norm;
      for (const auto& [i, v] : y) {
        double dot = 0;
        for (size_t c = 0; c < o.d; c++) dot += x[u][c] * v[c];
        loss += o.alpha * dot * dot + (items.count(i) ? (1 - dot) * (1 - dot) : 0);
      }
    }
    for (const auto& [i, users_of] : by_item) {
      double norm = 0;
      for (double v : y[i]) norm += v * v;
      loss += o.l2 * std::pow(double(users_of.size()) + o.alpha * double(by_user.size()), nu) * norm;
    }
    EXPECT_NEAR(history[3].find("loss")->number() / loss, 1, 1e-3);
  }
}

TEST(Ials, ThreadsDoNotShow) {
  Events e = events(2000, 8);
  std::vector<std::vector<uint8_t>> files;
  for (int round = 0; round < 20; round++) {
    auto t = trainer(runtime(round == 0 ? 1 : 4), R"({"version":1,"kind":"ials","dim":24,"epochs":2})", kSchema);
    ASSERT_TRUE(ok(fit(*t, e.batch())));
    files.push_back(bytes_of(*exported(*t)));
    ASSERT_EQ(files.back(), files.front()) << "round " << round;
  }
}

TEST(Ials, RecommendsByTheFoldedDotProduct) {
  Events e = events(600, 6);
  auto t = trainer(runtime(), R"({"version":1,"kind":"ials","dim":8,"epochs":3})", kSchema);
  ASSERT_TRUE(ok(fit(*t, e.batch())));
  auto m = exported(*t);
  Ints history = {3, 7, 12}, codes;
  for (int64_t i = 3; i < kItems; i++) codes.push_back(i);
  std::vector<float> p = predicted(*m, Rows().lists("history", Lists(codes.size(), history)).ints("item", codes).batch);
  Answer a = recommend(*m, history, uint32_t(kItems));
  for (size_t r = 0; r < size_t(kItems) && a.items[r]; r++) {
    EXPECT_EQ(a.scores[r], p[size_t(a.items[r] - 3)]);
    if (r > 0) {
      EXPECT_GE(a.scores[r - 1], a.scores[r]);
    }
    for (int64_t h : history) EXPECT_NE(a.items[r], h);
  }
}

TEST(Ials, CancelledFitOfNewItemsLeavesNoTrace) {
  // The dropped rows' items must not weigh in the next fit's Gram matrix.
  Events first = events(300, 7), second;
  for (size_t i = 0; i < first.items.size(); i++) first.items[i] = std::min<int64_t>(first.items[i], 20);
  second.users = {1, 2, 3}, second.items = {25, 26, 27};
  const char* spec = R"({"version":1,"kind":"ials","dim":4,"epochs":100000})";
  auto t = trainer(runtime(), spec, kSchema);
  gyr_task soon;
  soon.deadline_ns = monotonic_ns() + 50'000'000;
  EXPECT_EQ(fit(*t, second.batch(), &soon).code(), GYR_E_DEADLINE);
  ASSERT_GE(t->history().size(), 1u);
  soon.deadline_ns = monotonic_ns() + 200'000'000;
  EXPECT_EQ(fit(*t, first.batch(), &soon).code(), GYR_E_DEADLINE);
  std::vector<float> f = encoded(*exported(*t), GYR_SIDE_ITEM, Rows().ints("item", {25, 26, 27}).batch);
  for (float v : f) EXPECT_EQ(v, 0);
}

TEST(Counting, ArgumentsOfRecommend) {
  auto t = trainer(runtime(), R"({"version":1,"kind":"popularity"})", kSchema);
  ASSERT_TRUE(ok(fit(*t, events(50, 1).batch())));
  auto m = exported(*t);
  int64_t out[4], far[1] = {kItems}, low[1] = {-1}, offsets[2] = {0, 1}, falling[2] = {1, 0};
  EXPECT_TRUE(
      fails(m->recommend(far, offsets, 1, 4, nullptr, nullptr, out, nullptr), GYR_E_OUT_OF_RANGE, {"history 0", "30"}));
  EXPECT_TRUE(fails(m->recommend(low, offsets, 1, 4, nullptr, nullptr, out, nullptr), GYR_E_OUT_OF_RANGE, {"-1"}));
  EXPECT_EQ(m->recommend(far, falling, 1, 4, nullptr, nullptr, out, nullptr).code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(m->recommend(nullptr, offsets, 1, 4, nullptr, nullptr, out, nullptr).code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(m->encode(GYR_SIDE_USER, {}, 0, nullptr, nullptr).code(), GYR_E_UNSUPPORTED);
}

TEST(Counting, ManyHistoriesAtOnceAreTheSameAsEachAlone) {
  Events e = events(500, 9);
  for (const char* kind : {"popularity", "item_knn", "ials"}) {
    auto t = trainer(runtime(2), std::string(R"({"version":1,"kind":")") + kind + "\"}", kSchema);
    ASSERT_TRUE(ok(fit(*t, e.batch())));
    auto m = exported(*t);
    Random random(2);
    Lists1 all;
    Lists rows;
    for (int r = 0; r < 50; r++) {
      Ints row;
      for (uint64_t i = random.below(6); i > 0; i--) row.push_back(int64_t(random.below(kItems)));
      rows.push_back(row);
      all.add(row);
    }
    Ints items(50 * 5);
    std::vector<float> scores(50 * 5);
    ASSERT_TRUE(
        ok(m->recommend(all.items.data(), all.offsets.data(), 50, 5, nullptr, nullptr, items.data(), scores.data())));
    for (size_t r = 0; r < 50; r++)
      EXPECT_EQ(recommend(*m, rows[r], 5).items, Ints(items.begin() + long(r) * 5, items.begin() + long(r + 1) * 5));
  }
}

}  // namespace
}  // namespace gyr
