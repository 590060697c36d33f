#include "common.h"

#ifdef HAVE_HIREDIS
#include <hiredis/hiredis.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

extern char** environ;

namespace compare {
namespace {

// A redis-server of our own on a unix socket, without persistence.
class Server {
 public:
  Server() {
    folder_ = new_folder();
    if (folder_.empty()) return;
    std::string socket = folder_ + "/s", binary = environment("REDIS_SERVER", "redis-server");
    const char* args[] = {binary.c_str(), "--port", "0",     "--unixsocket",  socket.c_str(), "--save",    "",
                          "--appendonly", "no",     "--dir", folder_.c_str(), "--logfile",    "/dev/null", nullptr};
    pin(-1);  // the server has the other core
    if (sysconf(_SC_NPROCESSORS_ONLN) > 1) pin(1);
    int failed = posix_spawnp(&pid_, binary.c_str(), nullptr, nullptr, const_cast<char**>(args), environ);
    pin(0);
    if (failed) {
      pid_ = 0;
      return;
    }
    for (int i = 0; i < 200 && !context_; i++) {
      usleep(50'000);
      context_ = redisConnectUnix(socket.c_str());
      if (context_ && context_->err) redisFree(context_), context_ = nullptr;
    }
  }
  ~Server() {
    if (context_) redisFree(context_);
    if (pid_) kill(pid_, SIGTERM), waitpid(pid_, nullptr, 0);
    if (folder_.empty()) return;
    unlink((folder_ + "/s").c_str());
    rmdir(folder_.c_str());
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  redisContext* operator*() const { return context_; }
  bool there() const {
    if (!context_) say("peer redis is not there: redis-server did not start (install redis-server); skipped");
    return context_;
  }
  void add(const std::vector<const char*>& argv, const std::vector<size_t>& sizes) {
    redisAppendCommandArgv(context_, int(argv.size()), const_cast<const char**>(argv.data()), sizes.data());
  }
  redisReply* reply() {
    redisReply* r = nullptr;
    if (redisGetReply(context_, reinterpret_cast<void**>(&r)) != REDIS_OK || !r || r->type == REDIS_REPLY_ERROR) {
      say("redis: %s", r && r->str ? r->str : context_->errstr);
      std::exit(1);
    }
    return r;
  }

 private:
  std::string folder_;
  pid_t pid_ = 0;
  redisContext* context_ = nullptr;
};

class RedisRows final : public RowPeer {
 public:
  explicit RedisRows(const RowSet& rows) : dim_(rows.dim) {
    if (!server_.there()) return;
    std::vector<float> row(dim_);
    constexpr uint64_t kPipe = 500;
    for (uint64_t i = 0; i < rows.n; i += kPipe) {
      uint64_t end = std::min(rows.n, i + kPipe);
      for (uint64_t k = i; k < end; k++) {
        int64_t key = RowSet::key(k);
        rows.fill(k, row.data());
        server_.add({"SET", reinterpret_cast<char*>(&key), reinterpret_cast<char*>(row.data())},
                    {3, sizeof key, dim_ * sizeof(float)});
      }
      for (uint64_t k = i; k < end; k++) freeReplyObject(server_.reply());
    }
  }
  bool there() const { return *server_; }
  void gather(const int64_t* keys, size_t n, float* out) override {
    argv_.assign(1, "MGET");
    sizes_.assign(1, 4);
    for (size_t i = 0; i < n; i++) argv_.push_back(reinterpret_cast<const char*>(&keys[i])), sizes_.push_back(8);
    server_.add(argv_, sizes_);
    redisReply* r = server_.reply();
    if (r->elements != n) std::abort();
    for (size_t i = 0; i < n; i++) {
      if (r->element[i]->len != dim_ * sizeof(float)) std::abort();
      std::memcpy(out + i * dim_, r->element[i]->str, dim_ * sizeof(float));
    }
    freeReplyObject(r);
  }

 private:
  const uint32_t dim_;
  Server server_;
  std::vector<const char*> argv_;
  std::vector<size_t> sizes_;
};

class RedisFields final : public FieldPeer {
 public:
  RedisFields(uint64_t n, uint32_t fields) {
    if (!server_.there()) return;
    for (uint32_t f = 0; f < fields; f++) names_.push_back("f" + std::to_string(100 + f));
    constexpr uint64_t kPipe = 500;
    for (uint64_t i = 0; i < n; i += kPipe) {
      uint64_t end = std::min(n, i + kPipe);
      for (uint64_t k = i; k < end; k++) {
        std::string key = "e" + std::to_string(k);
        std::vector<const char*> argv{"HSET", key.c_str()};
        std::vector<size_t> sizes{4, key.size()};
        char value[16];
        std::snprintf(value, sizeof value, "%09llu", (unsigned long long)(k % 1'000'000'000));
        for (auto& f : names_) {
          argv.push_back(f.c_str()), sizes.push_back(f.size());
          argv.push_back(value), sizes.push_back(9);
        }
        server_.add(argv, sizes);
      }
      for (uint64_t k = i; k < end; k++) freeReplyObject(server_.reply());
    }
  }
  bool there() const { return *server_; }
  void get(const int64_t* keys, size_t n) override {
    for (size_t i = 0; i < n; i++) {
      std::string key = "e" + std::to_string(keys[i]);
      argv_.assign({"HMGET", key.c_str()});
      sizes_.assign({5, key.size()});
      for (auto& f : names_) argv_.push_back(f.c_str()), sizes_.push_back(f.size());
      server_.add(argv_, sizes_);
    }
    values_.resize(n * names_.size());
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
      redisReply* r = server_.reply();
      if (r->elements != names_.size()) std::abort();
      for (size_t f = 0; f < r->elements; f++) values_[at++] = std::strtoll(r->element[f]->str, nullptr, 10);
      freeReplyObject(r);
    }
  }

 private:
  Server server_;
  std::vector<std::string> names_;
  std::vector<const char*> argv_;
  std::vector<size_t> sizes_;
  std::vector<int64_t> values_;
};

}  // namespace

std::unique_ptr<RowPeer> make_redis(const RowSet& rows) {
  auto peer = std::make_unique<RedisRows>(rows);
  return peer->there() ? std::move(peer) : nullptr;
}
std::unique_ptr<FieldPeer> make_redis_fields(uint64_t n, uint32_t fields) {
  auto peer = std::make_unique<RedisFields>(n, fields);
  return peer->there() ? std::move(peer) : nullptr;
}

}  // namespace compare
#else
namespace compare {
std::unique_ptr<RowPeer> make_redis(const RowSet&) {
  say("peer redis is not there: install libhiredis-dev and redis-server and configure again; skipped");
  return nullptr;
}
std::unique_ptr<FieldPeer> make_redis_fields(uint64_t, uint32_t) {
  say("peer redis is not there: install libhiredis-dev and redis-server and configure again; skipped");
  return nullptr;
}
}  // namespace compare
#endif
