#include "tier.h"

#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace gyr_redis {
namespace {

constexpr int kRounds = 6;  // of redirections and reconnections
constexpr long kPauseNs = 20'000'000;

bool is_error(const redisReply& r, std::string_view prefix) {
  return r.type == REDIS_REPLY_ERROR && std::string_view(r.str, r.len).starts_with(prefix);
}

void pause() {
  timespec t{0, kPauseNs};
  nanosleep(&t, nullptr);
}

}  // namespace

Tier::Tier(const gyr_redis_options& o, std::vector<std::string> addresses)
    : row_bytes_(o.row_bytes),
      batch_(o.batch ? o.batch : 1000),
      cluster_(o.cluster != 0),
      prefix_(std::string(o.prefix ? o.prefix : "gyr") + ":"),
      seeds_(std::move(addresses)) {
  settings_.user = o.user ? o.user : "";
  settings_.password = o.password ? o.password : "";
  settings_.database = o.database;
  uint64_t us = (o.timeout_ns ? o.timeout_ns : 1'000'000'000) / 1000;
  settings_.timeout.tv_sec = time_t(us / 1'000'000);
  settings_.timeout.tv_usec = suseconds_t(std::max<uint64_t>(us % 1'000'000, us ? 0 : 1));
  slots_.resize(cluster_ ? kSlots : 0);
}

Node* Tier::node_at(const std::string& address) {
  {
    std::shared_lock lock(mutex_);
    if (auto it = nodes_.find(address); it != nodes_.end()) return it->second.get();
  }
  std::unique_lock lock(mutex_);
  auto& node = nodes_[address];
  if (!node) node = std::make_unique<Node>(address, &settings_);
  return node.get();
}

void Tier::take_row(const Batch& batch, size_t i, const redisReply& r) const {
  if (batch.op != Op::kGet) return;
  batch.found[i] = GYR_TIER_ABSENT;
  if (r.type == REDIS_REPLY_NIL) return;
  batch.found[i] = GYR_TIER_ERROR;  // something else is kept under this name
  if (r.type != REDIS_REPLY_STRING || r.len != row_bytes_) return;
  std::memcpy(batch.to + i * row_bytes_, r.str, row_bytes_);
  batch.found[i] = GYR_TIER_FOUND;
}

// ---- one server: MGET, MSET, DEL ----

bool Tier::one_command(const Batch& batch, size_t first, size_t n, Connection* c) const {
  std::vector<std::string> names;
  names.reserve(n);
  std::vector<std::string_view> words{batch.op == Op::kGet ? "MGET" : batch.op == Op::kSet ? "MSET" : "DEL"};
  for (size_t i = first; i < first + n; i++) {
    words.push_back(names.emplace_back(name(batch.keys[i])));
    if (batch.op == Op::kSet) words.push_back(row(batch.from, i));
  }
  return c->add(words);
}

gyr_status Tier::take_replies(const Batch& batch, Connection* c) const {
  gyr_status status = GYR_OK;
  for (size_t first = 0; first < batch.n; first += batch_) {
    size_t n = std::min<size_t>(batch_, batch.n - first);
    Reply r = c->reply();
    if (!r) return GYR_E_IO;
    bool rows = batch.op == Op::kGet && r->type == REDIS_REPLY_ARRAY && r->elements == n;
    if (r->type == REDIS_REPLY_ERROR || (batch.op == Op::kGet && !rows)) status = GYR_E_IO;
    for (size_t i = 0; rows && i < n; i++) take_row(batch, first + i, *r->element[i]);
  }
  return status;
}

gyr_status Tier::run_server(const Batch& batch) {
  Node* node = node_at(seeds_[0]);
  // A connection that lay idle may have been closed by the server: once more on a new one.
  for (int attempt = 0; attempt < 2; attempt++) {
    auto c = node->take();
    if (!c) return GYR_E_IO;
    bool sent = true;
    for (size_t first = 0; sent && first < batch.n; first += batch_)
      sent = one_command(batch, first, std::min<size_t>(batch_, batch.n - first), c.get());
    gyr_status status = sent ? take_replies(batch, c.get()) : GYR_E_IO;
    const bool again = c->broken() && !c->timed_out();  // who does not answer has had the time that there was
    node->give_back(std::move(c));
    if (!again) return status;
  }
  return GYR_E_IO;
}

// ---- a cluster: GET, SET, DEL, one pipeline per node ----

bool Tier::refresh() {
  std::vector<std::string> ask = seeds_;
  {
    std::shared_lock lock(mutex_);
    for (auto& [address, node] : nodes_) ask.push_back(address);
  }
  for (auto& address : ask) {
    Node* node = node_at(address);
    auto c = node->take();
    if (!c) continue;
    Reply r = c->add({"CLUSTER", "SLOTS"}) ? c->reply() : nullptr;
    node->give_back(std::move(c));
    if (!r || r->type != REDIS_REPLY_ARRAY || r->elements == 0) continue;
    std::vector<Node*> slots(kSlots, nullptr);
    for (size_t i = 0; i < r->elements; i++) {
      const redisReply& range = *r->element[i];
      if (range.type != REDIS_REPLY_ARRAY || range.elements < 3 || range.element[2]->type != REDIS_REPLY_ARRAY ||
          range.element[2]->elements < 2 || range.element[2]->element[0]->type != REDIS_REPLY_STRING)
        continue;
      const redisReply& master = *range.element[2];
      std::string host(master.element[0]->str, master.element[0]->len);
      if (host.empty()) host = address.substr(0, address.rfind(':'));  // a node that does not know its own name
      Node* owner = node_at(host + ":" + std::to_string(master.element[1]->integer));
      long long from = std::max(range.element[0]->integer, 0LL), to = range.element[1]->integer;
      for (long long s = from; s <= to && s < kSlots; s++) slots[size_t(s)] = owner;
    }
    std::unique_lock lock(mutex_);
    slots_ = std::move(slots);
    return true;
  }
  return false;
}

Node* Tier::node_of(const std::string& key) {
  std::shared_lock lock(mutex_);
  return slots_[slot_of(key)];
}

// MOVED 3999 127.0.0.1:6381, ASK 3999 127.0.0.1:6381
bool Tier::redirect(const redisReply& r, Todo* again) {
  bool moved = is_error(r, "MOVED "), ask = is_error(r, "ASK ");
  if (!moved && !ask) return false;
  std::string text(r.str, r.len);
  size_t slot_at = text.find(' ') + 1, address_at = text.find(' ', slot_at);
  if (address_at == text.npos || text.find(':', address_at) == text.npos) return false;
  Node* to = node_at(text.substr(address_at + 1));
  again->node = to;
  again->asking = ask;
  unsigned long slot = std::strtoul(text.c_str() + slot_at, nullptr, 10);
  if (ask || slot >= kSlots) return true;
  std::unique_lock lock(mutex_);
  slots_[slot] = to;
  return true;
}

// Sends what there is to do, all nodes first, and takes the replies. Returns what is to be done again.
std::vector<Tier::Todo> Tier::round(const Batch& batch, const std::vector<Todo>& todo) {
  struct Pipeline {
    std::unique_ptr<Connection> connection;
    std::vector<Todo> sent;
  };
  std::map<Node*, Pipeline> pipelines;
  std::vector<Todo> again;
  for (const Todo& t : todo) {
    std::string key = name(batch.keys[t.i]);
    Node* node = t.node ? t.node : node_of(key);
    if (!node) {
      again.push_back({t.i});
      continue;
    }
    auto [it, fresh] = pipelines.try_emplace(node);
    Pipeline& p = it->second;
    if (fresh) p.connection = node->take();
    if (!p.connection) {
      again.push_back({t.i});
      continue;
    }
    if (t.asking) p.connection->add({"ASKING"});
    switch (batch.op) {
      case Op::kGet:
        p.connection->add({"GET", key});
        break;
      case Op::kSet:
        p.connection->add({"SET", key, row(batch.from, t.i)});
        break;
      case Op::kDelete:
        p.connection->add({"DEL", key});
    }
    p.sent.push_back(t);
  }
  for (auto& [node, p] : pipelines)
    if (p.connection) p.connection->flush();
  for (auto& [node, p] : pipelines) {
    for (const Todo& t : p.sent) {
      if (t.asking) p.connection->reply();
      Reply r = p.connection->reply();
      Todo next{t.i};
      if (!r || redirect(*r, &next) || is_error(*r, "TRYAGAIN") || is_error(*r, "CLUSTERDOWN") ||
          is_error(*r, "LOADING"))
        again.push_back(next);
      else if (r->type == REDIS_REPLY_ERROR && batch.op != Op::kGet)
        again.push_back(next);
      else
        take_row(batch, t.i, *r);
    }
    if (p.connection) node->give_back(std::move(p.connection));
  }
  return again;
}

gyr_status Tier::run_cluster(const Batch& batch) {
  bool known;
  {
    std::shared_lock lock(mutex_);
    known = std::any_of(slots_.begin(), slots_.end(), [](Node* n) { return n != nullptr; });
  }
  if (!known && !refresh()) return GYR_E_IO;
  size_t failed = 0;
  for (size_t first = 0; first < batch.n; first += batch_) {
    std::vector<Todo> todo;
    for (size_t i = first; i < std::min<size_t>(batch.n, first + batch_); i++) todo.push_back({i});
    for (int attempt = 0; !todo.empty() && attempt < kRounds; attempt++) {
      if (attempt > 0 && std::any_of(todo.begin(), todo.end(), [](const Todo& t) { return !t.node; })) {
        pause();  // a node is down, or slots are on their way
        refresh();
      }
      todo = round(batch, todo);
    }
    failed += todo.size();
    for (const Todo& t : todo)
      if (batch.found) batch.found[t.i] = GYR_TIER_ERROR;
  }
  if (failed == 0) return GYR_OK;
  return batch.op == Op::kGet && failed < batch.n ? GYR_OK : GYR_E_IO;  // a fetch says which rows are in error
}

}  // namespace gyr_redis
