// One fitted workflow and its models used by everybody: every answer is the one that a single thread got.
#include "tests/stress/world.h"

namespace gyr::stress {
namespace {

// The int64 codes of the column named `name`, and the values of a stream's other columns as one sum of their bytes.
std::vector<int64_t> codes(ArrowArrayStream* stream, const char* name) {
  ArrowSchema schema{};
  MUST(stream->get_schema(stream, &schema) == 0);
  int64_t at = -1;
  for (int64_t c = 0; c < schema.n_children; c++)
    if (std::string(schema.children[c]->name) == name) at = c;
  schema.release(&schema);
  std::vector<int64_t> out;
  read(stream, [&](const ArrowArray& batch) {
    MUST(at >= 0) << name;
    if (at < 0) return;
    const auto* v = values<int64_t>(*batch.children[at]);
    out.insert(out.end(), v, v + batch.length);
  });
  return out;
}

class FeaturesStress : public ::testing::Test {
 protected:
  FeaturesStress() : world(0) {
    ArrowArrayStream rows = world.transformed(world.item_rows());
    item_codes = codes(&rows, "item_id");
    item_vectors = encode(world.retrieval, GYR_SIDE_ITEM, world.item_rows());
    user_vectors = encode(world.retrieval, GYR_SIDE_USER, world.user_rows());
    scores = predict(world.ranking);
    knn = recommend(world.knn);
  }
  std::vector<float> encode(gyr_model* model, gyr_side side, ArrowArrayStream in) {
    ArrowArrayStream rows = world.transformed(in);
    std::vector<float> out(kItems * 8);
    uint64_t n = 0;
    Error err;
    MUST_OK(err, CALL(gyr_model_encode)(model, side, &rows, out.data(), kItems, &n, &err));
    release(&rows);
    out.resize(n * 8);
    return out;
  }
  std::vector<float> predict(gyr_model* model) {
    ArrowArrayStream rows = world.transformed(world.interactions());
    std::vector<float> out(1000);
    uint64_t n = 0;
    Error err;
    MUST_OK(err, CALL(gyr_model_predict)(model, &rows, out.data(), out.size(), &n, &err));
    release(&rows);
    out.resize(n);
    return out;
  }
  std::vector<int64_t> recommend(gyr_model* model) {
    std::vector<int64_t> history(item_codes.begin(), item_codes.begin() + 9), offsets{0, 2, 5, 9}, out(3 * 6);
    std::vector<float> out_scores(out.size());
    Error err;
    MUST_OK(err, CALL(gyr_model_recommend)(model, history.data(), offsets.data(), 3, 6, nullptr, nullptr, out.data(),
                                           out_scores.data(), &err));
    return out;
  }

  World world;
  std::vector<int64_t> item_codes, knn;
  std::vector<float> item_vectors, user_vectors, scores;
};

TEST_F(FeaturesStress, WorkflowsAnswerAsOneThreadDoes) {
  Hammer hammer;
  hammer.operation(4, [&](Worker&) {
    ArrowArrayStream in = world.item_rows(), out{};
    Error err;
    MUST_OK(err, CALL(gyr_workflow_transform)(world.workflow, &in, &out, &err));
    MUST(codes(&out, "item_id") == item_codes);
  });
  hammer.operation(8, [&](Worker& w) {
    int item = int(w.below(kItems));
    std::vector<int64_t> history = world.history(int(w.below(kUsers)));
    std::string genre = World::genre(item);
    gyr_value in[5]{}, out[5]{};
    in[0].dtype = GYR_DTYPE_INT64, in[0].is_list = 1, in[0].list = history.data(), in[0].count = history.size();
    in[1].dtype = GYR_DTYPE_INT64, in[1].i = item_id(0, item);
    in[2].dtype = GYR_DTYPE_STRING, in[2].s = {genre.data(), genre.size()};
    in[3].dtype = GYR_DTYPE_FLOAT64, in[3].f = 1980;
    alignas(8) char scratch[512];
    Error err;
    MUST_OK(err, CALL(gyr_workflow_transform_row)(world.workflow, in, 5, out, 5, scratch, sizeof scratch, &err));
    bool found = false;
    for (auto& v : out) found |= v.dtype == GYR_DTYPE_INT64 && !v.is_list && v.i == item_codes[size_t(item)];
    MUST(found) << "item " << item;
  });
  hammer.operation(4, [&](Worker& w) {
    int item = int(w.below(kItems));
    gyr_value value{};
    Error err;
    MUST_OK(err, CALL(gyr_workflow_decode)(world.workflow, "item_id", item_codes[size_t(item)], &value, &err));
    MUST(value.i == item_id(0, item)) << value.i;
    MUST(CALL(gyr_workflow_fit_passes_left)(world.workflow) == 0);
  });
  hammer.operation(2, [&](Worker&) {
    std::string text = text_of([&](char* b, uint64_t c, uint64_t* s, gyr_error* e) {
      return CALL(gyr_workflow_schema)(world.workflow, b, c, s, e);
    });
    MUST(text == world.schema) << text;
  });
  hammer.operation(1, [&](Worker& w) {  // a stream that outlives the handle it came from
    std::string path = w.path("workflow.gyr");
    gyr_workflow* opened = nullptr;
    ArrowArrayStream in = world.item_rows(), out{};
    Error err;
    MUST_OK(err, CALL(gyr_workflow_save)(world.workflow, path.c_str(), &err));
    MUST_OK(err, CALL(gyr_workflow_open)(world.runtime, path.c_str(), &opened, &err));
    std::remove(path.c_str());
    MUST_OK(err, gyr_workflow_transform(opened, &in, &out, &err));
    CALL(gyr_workflow_destroy)(opened);
    MUST(codes(&out, "item_id") == item_codes);
  });
  hammer.operation(1, [&](Worker&) {  // fitted by one thread each, all at once
    gyr_workflow* own = nullptr;
    Error err;
    MUST_OK(err, CALL(gyr_workflow_create)(world.runtime, kWorkflow, &own, &err));
    while (gyr_workflow_fit_passes_left(own)) {
      ArrowArrayStream rows = world.interactions();
      MUST_OK(err, gyr_workflow_fit_partial(own, &rows, nullptr, &err));
      release(&rows);
      MUST_OK(err, gyr_workflow_fit_finish(own, &err));
    }
    std::string text =
        text_of([&](char* b, uint64_t c, uint64_t* s, gyr_error* e) { return gyr_workflow_schema(own, b, c, s, e); });
    MUST(text == world.schema) << text;
    CALL(gyr_workflow_destroy)(own);
  });
  hammer.run();
}

TEST_F(FeaturesStress, ModelsAnswerAsOneThreadDoes) {
  Hammer hammer;
  hammer.operation(4, [&](Worker& w) {
    if (w.one_in(2))
      MUST(encode(world.retrieval, GYR_SIDE_ITEM, world.item_rows()) == item_vectors);
    else
      MUST(encode(world.retrieval, GYR_SIDE_USER, world.user_rows()) == user_vectors);
  });
  hammer.operation(4, [&](Worker&) { MUST(predict(world.ranking) == scores); });
  hammer.operation(4, [&](Worker&) { MUST(recommend(world.knn) == knn); });
  hammer.operation(2, [&](Worker&) {
    std::string text = text_of([&](char* b, uint64_t c, uint64_t* s, gyr_error* e) {
      return CALL(gyr_model_describe)(world.retrieval, b, c, s, e);
    });
    MUST(text.find("two_tower") != std::string::npos) << text;
  });
  hammer.operation(1, [&](Worker& w) {
    std::string path = w.path("model.gyr");
    gyr_model* opened = nullptr;
    Error err;
    MUST_OK(err, CALL(gyr_model_save)(world.ranking, path.c_str(), &err));
    MUST_OK(err, CALL(gyr_model_open)(world.runtime, path.c_str(), &opened, &err));
    std::remove(path.c_str());
    MUST(predict(opened) == scores);
    CALL(gyr_model_destroy)(opened);
  });
  hammer.operation(1, [&](Worker& w) {  // one trainer per thread over one pool: the same weights whoever helps
    gyr_trainer* trainer = nullptr;
    gyr_model* model = nullptr;
    ArrowArrayStream rows = world.transformed(world.interactions());
    Error err;
    std::string spec = world.seeded(kRetrieval);
    MUST_OK(err, CALL(gyr_trainer_create)(world.runtime, spec.c_str(), world.schema.c_str(), &trainer, &err));
    MUST_OK(err, gyr_trainer_fit(trainer, &rows, nullptr, &err));
    release(&rows);
    MUST_OK(err, gyr_trainer_export(trainer, &model, &err));
    if (w.one_in(2)) gyr_trainer_destroy(trainer), trainer = nullptr;
    MUST(encode(model, GYR_SIDE_ITEM, world.item_rows()) == item_vectors);
    CALL(gyr_model_destroy)(model);
    gyr_trainer_destroy(trainer);
  });
  hammer.run();
}

}  // namespace
}  // namespace gyr::stress
