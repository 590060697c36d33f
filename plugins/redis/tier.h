// The tier: rows as strings under prefix:key, in one server or a cluster.
#pragma once

#include <gyr/redis_tier.h>

#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "connection.h"
#include "slots.h"

namespace gyr_redis {

enum class Op { kGet, kSet, kDelete };

// One request: keys and rows as the cache gave them.
struct Batch {
  Op op;
  const int64_t* keys;
  uint64_t n;
  const uint8_t* from = nullptr;  // kSet
  uint8_t* to = nullptr;          // kGet
  uint8_t* found = nullptr;
};

class Tier {
 public:
  Tier(const gyr_redis_options& options, std::vector<std::string> addresses);
  gyr_status run(const Batch& batch) { return cluster_ ? run_cluster(batch) : run_server(batch); }

 private:
  struct Todo {
    size_t i;
    bool asking = false;  // at `node`, once
    Node* node = nullptr;
  };

  std::string name(int64_t key) const { return prefix_ + std::to_string(key); }
  std::string_view row(const uint8_t* rows, size_t i) const {
    return {reinterpret_cast<const char*>(rows) + i * row_bytes_, row_bytes_};
  }
  gyr_status run_server(const Batch& batch);
  bool one_command(const Batch& batch, size_t first, size_t n, Connection* c) const;
  gyr_status take_replies(const Batch& batch, Connection* c) const;
  void take_row(const Batch& batch, size_t i, const redisReply& r) const;

  gyr_status run_cluster(const Batch& batch);
  std::vector<Todo> round(const Batch& batch, const std::vector<Todo>& todo);
  bool redirect(const redisReply& r, Todo* again);
  Node* node_at(const std::string& address);
  Node* node_of(const std::string& key);
  bool refresh();

  const uint32_t row_bytes_, batch_;
  const bool cluster_;
  const std::string prefix_;
  Settings settings_;
  std::vector<std::string> seeds_;

  std::shared_mutex mutex_;
  std::map<std::string, std::unique_ptr<Node>> nodes_;  // never fewer
  std::vector<Node*> slots_;                            // of a cluster; null = not known
};

}  // namespace gyr_redis
