// Section kind "WFL1" (docs/workflow.md): graph as JSON, then one length-prefixed block per node, so that a block can
// grow without moving the others.
#include "workflow/graph_workflow.h"

namespace gyr::workflow {
namespace {

constexpr uint32_t kVersion = 1;
enum Block : uint8_t { kNothing = 0, kLearned = 1, kPartial = 2 };

}  // namespace

Status GraphWorkflow::save(ContainerWriter* file, std::string_view name) const {
  ByteWriter out;
  out.put(kVersion);
  out.put_string(graph_->json);
  out.put(rows_seen_);
  out.put(learned_hash_);
  out.put<uint32_t>(uint32_t(graph_->nodes.size()));
  for (size_t i = 0; i < graph_->nodes.size(); i++) {
    const Op& op = *graph_->nodes[i].op;
    ByteWriter block;
    uint8_t what = !op.learns() ? kNothing : learned_[i] ? kLearned : partial_[i] ? kPartial : kNothing;
    if (what == kLearned) op.write(*learned_[i], &block);
    if (what == kPartial) op.write(*partial_[i], &block);
    out.put(what);
    out.put_array(block.bytes());
  }
  return file->add(name, "WFL1", std::move(out.bytes()), Codec::kLz4);
}

Status GraphWorkflow::read_state(ByteReader* in) {
  uint64_t rows = 0, hash = 0;
  uint32_t n = 0;
  GYR_TRY(in->get(&rows));
  GYR_TRY(in->get(&hash));
  GYR_TRY(in->get(&n));
  if (n != graph_->nodes.size())
    return fail(GYR_E_CORRUPT, "workflow", "%u blocks of statistics for %zu ops", n, graph_->nodes.size());
  std::vector<std::unique_ptr<Partial>> partial(n);
  for (uint32_t i = 0; i < n; i++) {
    const OpNode& node = graph_->nodes[i];
    uint8_t what = 0;
    std::span<const uint8_t> bytes;
    GYR_TRY(in->get(&what));
    GYR_TRY(in->get_array(&bytes));
    ByteReader block(bytes, node.path.c_str());
    if (what > kPartial || (what != kNothing && !node.op->learns()))
      return fail(GYR_E_CORRUPT, "workflow", "%s: unexpected block of statistics", node.path.c_str());
    if (what == kLearned) {
      GYR_ASSIGN(learned_[i], node.op->read_learned(&block, runtime_->memory()));
    } else if (what == kPartial) {
      GYR_ASSIGN(partial[i], node.op->read_partial(&block, runtime_->memory()));
    }
    GYR_TRY(block.finish());
  }
  GYR_TRY(in->finish());
  // Learned and partial blocks must be those of one point in time of the fitting.
  refresh();
  start_pass();
  for (uint32_t i = 0; i < n; i++) {
    if (bool(partial[i]) != bool(partial_[i]))
      return fail(GYR_E_CORRUPT, "workflow", "%s: its statistics do not belong to the current pass",
                  graph_->nodes[i].path.c_str());
    if (partial[i]) partial_[i] = std::move(partial[i]);
  }
  if (rows >> 56) return fail(GYR_E_CORRUPT, "workflow", "impossible number of rows");
  rows_seen_ = rows;
  learned_hash_ = hash;
  return {};
}

}  // namespace gyr::workflow

namespace gyr {

Result<std::shared_ptr<Workflow>> Workflow::load(std::shared_ptr<Runtime> runtime, const Container& file,
                                                 std::string_view name) {
  GYR_ASSIGN(std::vector<uint8_t> bytes, file.read(name, "WFL1"));
  ByteReader in(bytes, "workflow");
  uint32_t version = 0;
  std::string json;
  GYR_TRY(in.get(&version));
  if (version > workflow::kVersion)
    return fail(GYR_E_FORMAT_TOO_NEW, "workflow", "workflow version %u; this library reads up to %u", version,
                workflow::kVersion);
  if (version == 0) return fail(GYR_E_CORRUPT, "workflow", "workflow version 0");
  GYR_TRY(in.get_string(&json));
  auto graph = workflow::parse_graph(json, runtime->memory());
  if (!graph.ok()) return std::move(graph.status()).in_file("stored graph");
  auto made = std::make_shared<workflow::GraphWorkflow>(std::move(runtime), std::move(*graph));
  GYR_TRY(made->read_state(&in));
  return std::shared_ptr<Workflow>(std::move(made));
}

}  // namespace gyr
