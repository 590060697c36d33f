// order: the k best by an expression, greedily or sampled with probability proportional to exp(value / temperature)
// without replacement (Gumbel top-k: Kool, van Hoof, Welling 2019). Ties: smaller id first.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/hash.h"
#include "pipeline/bound_expression.h"

namespace gyr {
namespace {

struct Scratch : StageScratch {
  BoundExpression::Scratch expression;
  std::vector<double> values, keys;
  std::vector<uint32_t> order;
};

// Gumbel(0, 1) noise from a hash of (seed, user, item): the same request gives the same list on every machine.
double gumbel(uint64_t seed, uint64_t user, int64_t item) {
  uint64_t bits = mix64(mix64(seed ^ mix64(user)) ^ uint64_t(item));
  double u = (double(bits >> 11) + 0.5) * 0x1.0p-53;
  return -std::log(-std::log(u));
}

class Order : public Stage {
 public:
  BoundExpression by;
  bool sample = false;
  uint32_t most = 0;  // results per user
  double temperature = 1;

  std::unique_ptr<StageScratch> make_scratch() const override {
    auto s = std::make_unique<Scratch>();
    s->expression = by.make_scratch();
    return s;
  }

  Status run(const Call& call, StageScratch* scratch) const override {
    auto* s = static_cast<Scratch*>(scratch);
    Workspace* w = call.workspace;
    GYR_TRY(by.run_number(*w, &s->expression, &s->values));
    s->keys.assign(s->values.begin(), s->values.end());
    for (double& key : s->keys)
      if (std::isnan(key)) key = -std::numeric_limits<double>::infinity();  // null goes last
    size_t results = call.users * call.k;
    w->out_ids.assign(results, -1);
    w->out_scores.assign(results, NAN);
    w->out_retrieval.assign(results, NAN);
    w->out_ranking.assign(results, NAN);
    w->out_counts.resize(call.users);
    for (uint64_t user = 0; user < call.users; user++) order_user(call, user, s);
    return {};
  }

 private:
  void order_user(const Call& call, uint64_t user, Scratch* s) const {
    Workspace* w = call.workspace;
    size_t begin = size_t(w->begin[user]), n = size_t(w->begin[user + 1]) - begin;
    if (sample) {
      uint64_t user_hash = key_hash(*call.args->users, user);
      for (size_t c = begin; c < begin + n; c++)
        s->keys[c] = s->keys[c] / temperature + gumbel(call.args->seed, user_hash, w->ids[c]);
    }
    s->order.resize(n);
    for (size_t i = 0; i < n; i++) s->order[i] = uint32_t(begin + i);
    size_t k = std::min<size_t>({call.k, most, n});
    auto better = [&](uint32_t a, uint32_t b) {
      if (s->keys[a] != s->keys[b]) return s->keys[a] > s->keys[b];
      return w->ids[a] < w->ids[b];
    };
    std::partial_sort(s->order.begin(), s->order.begin() + ptrdiff_t(k), s->order.end(), better);
    const Batch& scores = w->slots[kSlotScores];
    const auto& ranking = scores.columns[kScore].floats;
    for (size_t i = 0; i < k; i++) {
      size_t c = s->order[i], out = user * call.k + i;
      w->out_ids[out] = w->ids[c];
      w->out_scores[out] = float(s->values[c]);
      w->out_retrieval[out] = float(scores.columns[kRetrievalScore].floats[c]);
      if (!ranking.empty()) w->out_ranking[out] = float(ranking[c]);
    }
    w->out_counts[user] = uint32_t(k);
  }

  static uint64_t key_hash(const gyr_keys& keys, uint64_t i) {
    if (keys.dtype == GYR_DTYPE_INT64) return hash64(keys.ints[i]);
    return hash64(std::string_view(keys.strings[i].data, keys.strings[i].len));
  }
};

}  // namespace

BoundStage bind_order(SpecReader* spec, Binder* b) {
  auto stage = std::make_unique<Order>();
  stage->name = "order";
  int64_t k = 0;
  int method = 0;
  if (!b->retrieved) return spec->error("stage", "\"order\" needs a retrieve stage before it");
  std::string by = b->scored ? "score" : "retrieval_score";
  GYR_TRY(spec->required_integer("k", 1, 65536, &k));
  GYR_TRY(spec->string("by", &by));
  GYR_TRY(spec->choice("method", {"greedy", "softmax"}, &method));
  GYR_TRY(spec->number("temperature", 1e-6, 1e6, &stage->temperature));
  if (spec->has("temperature") && method == 0) return spec->error("temperature", "is for \"method\": \"softmax\" only");
  GYR_TRY(stage->by.bind(spec, "by", by, false, *b));
  stage->sample = method == 1;
  stage->most = b->max_k = uint32_t(k);
  return BoundStage(std::move(stage));
}

}  // namespace gyr
