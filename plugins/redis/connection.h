// One connection to one node, on hiredis.
#pragma once

#include <hiredis/hiredis.h>
#include <signal.h>
#include <sys/time.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace gyr_redis {

struct Settings {
  std::string user, password;
  uint32_t database = 0;
  timeval timeout{};
};

struct FreeReply {
  void operator()(redisReply* r) const { freeReplyObject(r); }
};
using Reply = std::unique_ptr<redisReply, FreeReply>;

// hiredis writes with write(): a server that went away must not end the host by SIGPIPE.
class NoSigpipe {
 public:
  NoSigpipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoSigpipe() {
    timespec now{0, 0};
    if (!was_pending_)
      while (sigtimedwait(&pipe_, nullptr, &now) == SIGPIPE) {
      }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoSigpipe(const NoSigpipe&) = delete;

 private:
  sigset_t pipe_, before_;
  bool was_pending_;
};

class Connection {
 public:
  // Null when nobody answers, or who answers refuses us.
  static std::unique_ptr<Connection> open(const std::string& address, const Settings& settings);
  ~Connection() { redisFree(context_); }
  Connection(const Connection&) = delete;

  // Adds a command to the pipeline; false when the connection is of no use any more.
  bool add(const std::vector<std::string_view>& words);
  bool flush();
  // The next reply; null when the connection broke.
  Reply reply();
  bool broken() const { return context_->err != 0; }
  // Broken by waiting for a reply as long as settings allow.
  bool timed_out() const { return timed_out_; }

 private:
  explicit Connection(redisContext* context) : context_(context) {}
  bool greet(const Settings& settings);
  redisContext* const context_;
  bool timed_out_ = false;
  std::vector<const char*> words_;
  std::vector<size_t> sizes_;
};

// A server and the connections to it that nobody uses just now.
class Node {
 public:
  Node(std::string address, const Settings* settings) : address(std::move(address)), settings_(settings) {}
  const std::string address;

  std::unique_ptr<Connection> take();
  void give_back(std::unique_ptr<Connection> connection);

 private:
  const Settings* const settings_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Connection>> idle_;
};

}  // namespace gyr_redis
