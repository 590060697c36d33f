// retrieve: the k nearest items of each user's query vector, without the ones the user has seen.
#include "pipeline/seen.h"
#include "pipeline/stage.h"

namespace gyr {
namespace {

struct Scratch : StageScratch {
  std::unique_ptr<Index::Scratch> index;
  std::vector<int64_t> ids;
  std::vector<float> scores;
  std::vector<uint32_t> counts;
  SeenScratch seen;
};

class Retrieve : public Stage {
 public:
  std::shared_ptr<Index> index;
  uint32_t k = 0, effort = 0;
  bool exact = false;
  Seen seen;
  std::shared_ptr<const IdList> item_ids;

  std::unique_ptr<StageScratch> make_scratch() const override {
    auto s = std::make_unique<Scratch>();
    s->index = index->make_scratch();
    return s;
  }

  Status run(const Call& call, StageScratch* scratch) const override {
    auto* s = static_cast<Scratch*>(scratch);
    Workspace* w = call.workspace;
    s->ids.resize(call.users * k);
    s->scores.resize(call.users * k);
    s->counts.resize(call.users);
    Index::Query query{w->queries.data(), call.users, k};
    query.effort = effort;
    query.exact = exact;
    if (seen.bound()) seen.labels(*w, &s->seen, &query.excluded, &query.excluded_offsets);
    GYR_TRY(index->search(query, s->index.get(), call.task, s->ids.data(), s->scores.data(), s->counts.data()));
    return flatten(call, *s);
  }

 private:
  Status flatten(const Call& call, const Scratch& s) const {
    Workspace* w = call.workspace;
    w->ids.clear();
    w->begin.resize(call.users + 1);
    Batch& scores = w->slots[kSlotScores];
    Column& score = scores.columns[kRetrievalScore];
    score.reset(GYR_DTYPE_FLOAT32, false);
    scores.columns[kScore].reset(GYR_DTYPE_FLOAT32, false);
    for (uint64_t u = 0; u < call.users; u++) {
      w->begin[u] = int64_t(w->ids.size());
      for (uint32_t i = 0; i < s.counts[u]; i++) {
        w->ids.push_back(s.ids[u * k + i]);
        score.push_float(s.scores[u * k + i]);
      }
    }
    w->begin[call.users] = int64_t(w->ids.size());
    scores.rows = int64_t(w->ids.size());
    return fill_keys(w);
  }

  Status fill_keys(Workspace* w) const {
    Batch& keys = w->slots[kSlotItemKey];
    Column& key = keys.columns[0];
    keys.rows = int64_t(w->ids.size());
    if (!item_ids) {
      key.reset(GYR_DTYPE_INT64, false);
      key.ints.assign(w->ids.begin(), w->ids.end());
      return {};
    }
    key.reset(GYR_DTYPE_STRING, false);
    for (int64_t label : w->ids) {
      if (label < 0 || uint64_t(label) >= item_ids->size())
        return fail(GYR_E_INVALID_STATE, "pipeline",
                    "stage retrieve: index label %lld is not in the id list; labels must be positions of the list",
                    (long long)label);
      key.push_string(item_ids->id(uint64_t(label)));
    }
    return {};
  }
};

}  // namespace

BoundStage bind_retrieve(SpecReader* spec, Binder* b, const std::string& seen) {
  auto stage = std::make_unique<Retrieve>();
  stage->name = "retrieve";
  std::string index, ids;
  int64_t k = 0, effort = 0;
  GYR_TRY(spec->required_string("index", &index));
  GYR_TRY(spec->required_integer("k", 1, 65536, &k));
  GYR_TRY(spec->integer("effort", 0, 65536, &effort));
  GYR_TRY(spec->boolean("exact", &stage->exact));
  GYR_TRY(spec->string("ids", &ids));
  if (b->retrieved) return spec->error("stage", "only one retrieve stage is supported");
  GYR_ASSIGN(stage->index, find_component(b->components->indexes, index, "index", spec->path("index")));
  gyr_index_info info{};
  info.struct_size = sizeof info;
  stage->index->fill_info(&info);
  if (b->query_dim != info.dim)
    return fail(GYR_E_INVALID_ARGUMENT, "pipeline",
                "%s: the index holds %u-dimensional vectors, the encode stage before "
                "it gives %u%s",
                spec->path("index").c_str(), info.dim, b->query_dim,
                b->query_dim ? "" : " (add an encode stage with a model)");
  if (!ids.empty()) {
    GYR_ASSIGN(stage->item_ids, find_component(b->components->ids, ids, "id list", spec->path("ids")));
    int64_t label = 0;
    if (stage->index->find_id_beyond(stage->item_ids->size(), &label))
      return fail(GYR_E_INVALID_ARGUMENT, "pipeline",
                  "%s: index \"%s\" has the label %lld, id list \"%s\" has %llu ids; a label must be the position of "
                  "its id in the list (0 is the first), so build the index with those",
                  spec->path("ids").c_str(), index.c_str(), (long long)label, ids.c_str(),
                  (unsigned long long)stage->item_ids->size());
  }
  stage->k = uint32_t(k);
  stage->effort = uint32_t(effort);
  b->item_ids = stage->item_ids;
  if (!seen.empty()) GYR_TRY(stage->seen.bind(spec, "seen", seen, *b));
  b->retrieved = true;
  ColumnSchema score{"retrieval_score", GYR_DTYPE_FLOAT32};
  b->item.add(score, kSlotScores, kRetrievalScore);
  return BoundStage(std::move(stage));
}

}  // namespace gyr
