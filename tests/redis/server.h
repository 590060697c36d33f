// redis-server processes of a test's own: on a unix socket, or nodes of a cluster on the loopback.
#pragma once

#include <gtest/gtest.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace gyr::test {

inline const char* redis_binary() {
  for (const char* path : {"/usr/bin/redis-server", "/usr/local/bin/redis-server"})
    if (access(path, X_OK) == 0) return path;
  return nullptr;
}
#define NEEDS_REDIS() \
  if (!::gyr::test::redis_binary()) GTEST_SKIP() << "redis-server is not installed (apt-get install redis-server)"

inline bool eventually(const std::function<bool()>& holds, int ms = 10'000) {
  for (auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);;) {
    if (holds()) return true;
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

class RedisServer {
 public:
  // port 0: a unix socket only.
  explicit RedisServer(int port = 0, std::vector<std::string> more = {}) : port_(port) {
    std::string name = ::testing::TempDir() + "gyr-redis-XXXXXX";
    if (!mkdtemp(name.data())) ADD_FAILURE() << "no folder";
    folder_ = name;
    args_ = {"redis-server",
             "--port",
             std::to_string(port),
             "--bind",
             "127.0.0.1",
             "--save",
             "",
             "--appendonly",
             "no",
             "--dir",
             folder_,
             "--unixsocket",
             socket(),
             "--logfile",
             folder_ + "/log"};
    args_.insert(args_.end(), more.begin(), more.end());
    start();
  }
  ~RedisServer() {
    stop();
    std::filesystem::remove_all(folder_);
  }
  RedisServer(const RedisServer&) = delete;

  void start() {
    pid_ = fork();
    if (pid_ == 0) {
      std::vector<char*> argv;
      for (auto& a : args_) argv.push_back(a.data());
      argv.push_back(nullptr);
      if (!freopen("/dev/null", "w", stdout)) _exit(126);
      execv(redis_binary(), argv.data());
      _exit(127);
    }
    EXPECT_TRUE(eventually([&] { return text({"PING"}) == "PONG"; })) << "redis-server does not answer";
  }
  void stop() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
    unlink(socket().c_str());
  }
  void freeze(bool on) const { kill(pid_, on ? SIGSTOP : SIGCONT); }

  std::string socket() const { return folder_ + "/s"; }
  std::string address() const { return port_ ? "127.0.0.1:" + std::to_string(port_) : "unix:" + socket(); }
  int port() const { return port_; }

  // A command's answer, as text; "" when there is none.
  std::string text(const std::vector<std::string>& words) const {
    redisContext* c = redisConnectUnixWithTimeout(socket().c_str(), timeval{2, 0});
    std::string out;
    if (c && !c->err) {
      std::vector<const char*> argv;
      std::vector<size_t> sizes;
      for (auto& w : words) argv.push_back(w.data()), sizes.push_back(w.size());
      auto* r = static_cast<redisReply*>(redisCommandArgv(c, int(argv.size()), argv.data(), sizes.data()));
      if (r && r->type == REDIS_REPLY_INTEGER) out = std::to_string(r->integer);
      if (r && r->str) out.assign(r->str, r->len);
      if (r) freeReplyObject(r);
    }
    if (c) redisFree(c);
    return out;
  }

 private:
  const int port_;
  std::string folder_;
  std::vector<std::string> args_;
  pid_t pid_ = 0;
};

inline int free_port() {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof a;
  if (bind(fd, reinterpret_cast<sockaddr*>(&a), size) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&a), &size) != 0)
    ADD_FAILURE() << "no free port";
  close(fd);
  return ntohs(a.sin_port);
}

// Three masters with a third of the slots each.
class RedisCluster {
 public:
  RedisCluster() {
    for (int i = 0; i < 3; i++) {
      nodes.push_back(std::make_unique<RedisServer>(
          free_port(), std::vector<std::string>{"--cluster-enabled", "yes", "--cluster-port",
                                                std::to_string(free_port()), "--cluster-node-timeout", "2000"}));
      nodes[size_t(i)]->text(
          {"CLUSTER", "ADDSLOTSRANGE", std::to_string(i * 5461), std::to_string(i == 2 ? 16383 : i * 5461 + 5460)});
    }
    for (auto& n : nodes) bus_.push_back(bus_port(*n));
    for (size_t i = 1; i < 3; i++)
      nodes[0]->text({"CLUSTER", "MEET", "127.0.0.1", std::to_string(nodes[i]->port()), bus_[i]});
    ok = eventually(
        [&] {
          for (auto& n : nodes) {
            std::string info = n->text({"CLUSTER", "INFO"});
            if (info.find("cluster_state:ok") == info.npos || info.find("cluster_known_nodes:3") == info.npos)
              return false;
          }
          return true;
        },
        30'000);
  }
  std::string id(size_t i) const { return nodes[i]->text({"CLUSTER", "MYID"}); }

  std::vector<std::unique_ptr<RedisServer>> nodes;
  bool ok = false;

 private:
  static std::string bus_port(const RedisServer& n) {  // "id host:port@bus ..."
    std::string text = n.text({"CLUSTER", "NODES"});
    size_t at = text.find('@');
    return at == text.npos ? "" : text.substr(at + 1, text.find_first_of(" ,", at) - at - 1);
  }
  std::vector<std::string> bus_;
};

}  // namespace gyr::test
