#include "connection.h"

#include <cerrno>
#include <cstdlib>

namespace gyr_redis {

std::unique_ptr<Connection> Connection::open(const std::string& address, const Settings& settings) {
  redisContext* context = nullptr;
  if (address.starts_with("unix:")) {
    context = redisConnectUnixWithTimeout(address.c_str() + 5, settings.timeout);
  } else {
    size_t colon = address.rfind(':');
    std::string host = address.substr(0, colon);
    if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);  // [::1]:6379
    context = redisConnectWithTimeout(host.c_str(), std::atoi(address.c_str() + colon + 1), settings.timeout);
  }
  if (!context) return nullptr;
  std::unique_ptr<Connection> made(new Connection(context));
  if (context->err || redisSetTimeout(context, settings.timeout) != REDIS_OK || !made->greet(settings)) return nullptr;
  return made;
}

bool Connection::greet(const Settings& settings) {
  size_t expected = 0;
  if (!settings.password.empty()) {
    expected++;
    if (!(settings.user.empty() ? add({"AUTH", settings.password}) : add({"AUTH", settings.user, settings.password})))
      return false;
  }
  if (settings.database) {
    expected++;
    if (!add({"SELECT", std::to_string(settings.database)})) return false;
  }
  for (; expected; expected--) {
    Reply r = reply();
    if (!r || r->type == REDIS_REPLY_ERROR) return false;
  }
  return true;
}

bool Connection::add(const std::vector<std::string_view>& words) {
  words_.clear(), sizes_.clear();
  for (auto w : words) words_.push_back(w.data()), sizes_.push_back(w.size());
  return redisAppendCommandArgv(context_, int(words.size()), words_.data(), sizes_.data()) == REDIS_OK;
}

bool Connection::flush() {
  for (int done = 0; !done;)
    if (redisBufferWrite(context_, &done) != REDIS_OK) return false;
  return true;
}

Reply Connection::reply() {
  void* r = nullptr;
  errno = 0;
  if (redisGetReply(context_, &r) != REDIS_OK) {
    timed_out_ = context_->err == REDIS_ERR_IO && (errno == EAGAIN || errno == ETIMEDOUT);
    return nullptr;
  }
  return Reply(static_cast<redisReply*>(r));
}

std::unique_ptr<Connection> Node::take() {
  {
    std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto c = std::move(idle_.back());
      idle_.pop_back();
      return c;
    }
  }
  return Connection::open(address, *settings_);
}

void Node::give_back(std::unique_ptr<Connection> connection) {
  std::lock_guard lock(mutex_);
  if (connection->broken()) {
    idle_.clear();  // the others are as old
    return;
  }
  idle_.push_back(std::move(connection));
}

}  // namespace gyr_redis
