// Any bytes as a saved index (sections IDX1 and IDX2): refused, at the latest by the first change, or an index that
// finds what it holds.
#include <algorithm>
#include <cmath>

#include "index/index.h"
#include "tests/fuzz/common.h"

using namespace gyr;
using namespace gyr::fuzz;

namespace {

constexpr uint32_t kMost = 8;

auto load(const Container& file) { return Index::load(runtime(), file, "x"); }

gyr_index_info info_of(const Index& index) {
  gyr_index_info info{};
  info.struct_size = sizeof info;
  index.fill_info(&info);
  return info;
}

void search(const Index& index, bool exact) {
  gyr_index_info info = info_of(index);
  std::vector<float> query(info.dim);
  for (size_t d = 0; d < query.size(); d++) query[d] = d % 3 ? 0.5f : -1;
  int64_t ids[kMost];
  float scores[kMost];
  uint32_t count = 0;
  Index::Query q{query.data(), 1, kMost};
  q.exact = exact;
  expect_ok(index.search(q, nullptr, nullptr, ids, scores, &count), "an index can be searched");
  must(count == std::min<uint64_t>(kMost, info.count), "as many results as exist");
  for (uint32_t i = 0; i < count; i++) {
    must(std::isfinite(scores[i]), "scores are numbers");
    must(i == 0 || scores[i - 1] > scores[i] || (scores[i - 1] == scores[i] && ids[i - 1] < ids[i]),
         "results are in order, each id once");
  }
  std::vector<int64_t> slots(count);
  index.slots(ids, count, slots.data());
  for (int64_t slot : slots) must(slot >= 0 && uint64_t(slot) < info.slots, "what is found has a slot");
}

// Of an index that may be refused yet.
void search_doubtful(const Index& index, bool exact) {
  std::vector<float> query(info_of(index).dim, 0.5f);
  int64_t ids[kMost];
  float scores[kMost];
  uint32_t count = 0;
  Index::Query q{query.data(), 1, kMost};
  q.exact = exact;
  expect_ok(index.search(q, nullptr, nullptr, ids, scores, &count), "an index can be searched");
  must(count <= kMost, "no more results than were asked for");
}

// False: its content is refused.
bool change(Index* index, bool checked) {
  gyr_index_info before = info_of(*index);
  std::vector<float> vector(before.dim, 0.25f);
  int64_t id = 4242;
  int64_t slot = 0;
  index->slots(&id, 1, &slot);
  Status added = index->upsert(&id, vector.data(), 1, nullptr);
  if (!checked && !added.ok()) {
    refused_stored(added);
    return false;
  }
  expect_ok(added, "a vector can be added");
  must(info_of(*index).count == before.count + (slot < 0), "the vector is counted once");
  search(*index, false);
  uint64_t removed = 0;
  expect_ok(index->remove(&id, 1, &removed), "a vector can be deleted");
  must(removed == 1, "the vector was there");
  search(*index, true);
  return true;
}

void use(const uint8_t* data, size_t size, const char* kind) {
  auto index = load(*section({data, data + size}, kind));
  if (!index.ok()) return refused_stored(index.status());
  const bool checked = kind[3] == '1';
  round_trip(**index, "IDX2", load);
  for (bool exact : {false, true}) checked ? search(**index, exact) : search_doubtful(**index, exact);
  if (!change(index->get(), checked)) return;
  search(**index, false);
  round_trip(**index, "IDX2", load);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  use(data, size, "IDX1");
  use(data, size, "IDX2");
  return 0;
}
