// Child processes: forked, so that they may be killed without warning.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

namespace gyr::test {

// Runs `body` in a child that ends with its result. Only what the child creates itself is used there.
template <class Body>
pid_t start_child(Body&& body) {
  fflush(nullptr);
  pid_t pid = fork();
  if (pid == 0) _exit(body());
  EXPECT_GT(pid, 0);
  return pid;
}

// Waits; the exit status, or -signal.
inline int wait_child(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// What a writer tells before it is killed, through a pipe: the version it starts from, then each one it has saved.
class Reports {
 public:
  Reports() { EXPECT_EQ(pipe(fds_), 0); }
  ~Reports() {
    for (int fd : fds_) close(fd);
  }
  Reports(const Reports&) = delete;
  void say(int64_t version) const {
    if (write(fds_[1], &version, sizeof version) != sizeof version) _exit(4);
  }
  // Waits until the child has said anything at all.
  bool heard() const {
    pollfd p = {fds_[0], POLLIN, 0};
    return poll(&p, 1, 60'000) == 1;
  }
  // Every word, when everybody who could speak is dead.
  template <class Use>
  void all(Use&& use) {
    close(std::exchange(fds_[1], -1));
    for (int64_t v; read(fds_[0], &v, sizeof v) == sizeof v;) use(v);
  }
  // The last word, when everybody who could speak is dead; `otherwise` when there was none.
  int64_t last(int64_t otherwise) {
    all([&](int64_t v) { otherwise = v; });
    return otherwise;
  }

 private:
  int fds_[2] = {-1, -1};
};

}  // namespace gyr::test
