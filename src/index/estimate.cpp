#include "index/estimate.h"

#include "base/math.h"
#include "index/vector_index.h"

namespace gyr {

Result<Index::Estimate> Index::estimate(const gyr_index_options& options, uint64_t n, uint32_t threads) {
  gyr_index_options complete = options;
  GYR_TRY(index::complete_options(&complete));
  if (n >= index::kMaxSlots || threads > 65536)
    return fail(GYR_E_OUT_OF_RANGE, "index", "%s is %llu; expected at most %u", threads > 65536 ? "threads" : "n",
                (unsigned long long)(threads > 65536 ? threads : n), threads > 65536 ? 65536 : index::kMaxSlots - 1);
  const uint64_t bytes = index::memory_of(complete, std::max(n, complete.reserve)).all();
  return Estimate{bytes, bytes + index::working_memory(complete, n, std::max(threads, 1u))};
}

namespace index {

IndexMemory memory_of(const gyr_index_options& o, uint64_t slots) {
  const bool graph = o.kind == GYR_INDEX_GRAPH;
  if (o.kind == GYR_INDEX_IVF) {
    const auto lists = Lists::memory_of(slots, o.dim, o.lists, 1);
    return {Vectors::bytes_of(slots, o.dim, o.stored, false), lists.codes, lists.rest,
            Store::id_bytes_of(slots, o.dim)};
  }
  const bool products = o.metric == GYR_METRIC_IP;
  return {Vectors::bytes_of(slots, o.dim, o.stored, graph), graph ? Codes::bytes_of(slots, o.dim, products) : 0,
          graph ? Graph::bytes_of(slots, o.degree * 2) : 0, Store::id_bytes_of(slots, o.dim)};
}

uint64_t working_memory(const gyr_index_options& o, uint64_t slots, uint32_t threads) {
  const bool graph = o.kind == GYR_INDEX_GRAPH, coded = o.stored == GYR_STORED_INT8 || o.stored == GYR_STORED_INT16;
  const uint64_t sorted_ids = slots * 8;  // of one call with all of them, before anything else
  const uint64_t group = std::min<uint64_t>(slots, graph                     ? Graph::largest_group(o.degree * 2)
                                                   : o.kind == GYR_INDEX_IVF ? Lists::group_limit(o.dim)
                                                                             : kBlock);
  const uint64_t staged = group * (align_up(o.dim, 16) + 1) * 4;
  const uint64_t learning = graph || coded ? Codes::learning_memory(slots, o.dim, !graph) : 0;
  if (o.kind == GYR_INDEX_IVF) {
    const auto lists = Lists::memory_of(slots, o.dim, o.lists, threads);
    return std::max(sorted_ids, staged + lists.group + std::max(learning, lists.training));
  }
  if (!graph) return std::max(sorted_ids, staged + learning);
  if (!found_at_once(slots, 0)) {
    const uint64_t links = Graph::working_memory(slots, o.dim, o.degree * 2, o.build_effort, group, threads);
    return std::max(sorted_ids, staged + learning + links);
  }
  return std::max(sorted_ids, slots * 16 + Codes::bytes_of(slots, o.dim, o.metric == GYR_METRIC_IP) + learning +
                                  links_memory(slots, o.dim, o.metric, o.degree * 2, threads));
}

Status no_room(const Runtime& runtime, const gyr_index_options& options, uint64_t slots, uint64_t fresh) {
  gyr_runtime_info info{};
  runtime.fill_info(&info);
  return fail(
      GYR_E_RESOURCE_EXHAUSTED, "index",
      "%llu vectors, %llu of them new, take %llu bytes and %llu while they are inserted, besides what is copied "
      "while growing; the runtime uses %llu of a memory_budget of %llu bytes; raise it, or create the index with "
      "`reserve` and a smaller `stored`",
      (unsigned long long)slots, (unsigned long long)fresh, (unsigned long long)memory_of(options, slots).all(),
      (unsigned long long)working_memory(options, fresh, info.threads), (unsigned long long)info.memory_used,
      (unsigned long long)info.memory_budget);
}

}  // namespace index
}  // namespace gyr
