#include "io/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "io/container.h"
#include "io/file_watch.h"

namespace gyr {
namespace {

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/gyr-file-XXXXXX";
    folder_ = mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
};

TEST_F(FileTest, WhatIsNoRegularFileIsRefusedAtOnce) {
  std::string fifo = folder_ + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  alarm(20);  // opening a FIFO used to wait for a writer
  for (const std::string& path : {fifo, folder_, std::string("/dev/zero")})
    EXPECT_EQ(Container::open(path).status().code(), GYR_E_INVALID_ARGUMENT) << path;
  alarm(0);
}

TEST_F(FileTest, CreatesAndReadsNoMoreThanItShould) {
  std::string path = folder_ + "/text";
  {
    auto made = File::create_new(path, 0600);
    ASSERT_TRUE(made.ok());
    ASSERT_TRUE(made->write(std::vector<uint8_t>{'l', 'o', 'n', 'g'}).ok());
  }
  EXPECT_EQ(File::create_new(path, 0600).status().code(), GYR_E_ALREADY_EXISTS);
  EXPECT_EQ(*read_text(path), "long");
  EXPECT_EQ(*read_text(path, 2), "lo");
  EXPECT_EQ(read_text(folder_ + "/none").status().code(), GYR_E_NOT_FOUND);
}

// A descriptor 2 of ours would receive whatever the host writes to its stderr.
TEST_F(FileTest, StaysClearOfClosedStandardStreams) {
  pid_t child = fork();
  if (child == 0) {
    for (int fd = 0; fd < 3; fd++) close(fd);
    auto made = File::create_new(folder_ + "/new", 0600);
    auto read = File::open_read(folder_ + "/new");
    auto unnamed = File::create_unnamed(folder_, folder_ + "/other", 0600);
    bool clear = made.ok() && made->fd() > 2 && read.ok() && read->fd() > 2 && (!unnamed.ok() || unnamed->fd() > 2);
    for (int fd = 0; fd < 3; fd++) clear &= fcntl(fd, F_GETFD) == -1;
    _exit(clear ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#ifdef GYR_FAULTS
// Gives the first `times` calls of one kind an errno.
class Refusal final : public FileWatch {
 public:
  Refusal(FileOp op, int error, int times) : op_(op), error_(error), left_(times) { file_watch = this; }
  ~Refusal() override { file_watch = nullptr; }
  Refusal(const Refusal&) = delete;
  FileVerdict before(const FileCall& call) override {
    if (call.op == FileOp::kCreateUnnamed) return {false, 0, EOPNOTSUPP};
    if (call.op != op_ || left_ == 0) return {};
    left_--;
    return {false, 0, error_};
  }
  void after(const FileCall&, bool, ptrdiff_t) override {}

 private:
  const FileOp op_;
  const int error_;
  int left_;
};

TEST_F(FileTest, FoldersThatCannotBeFlushedAreTaken) {
  const std::string path = folder_ + "/file";
  const std::vector<uint8_t> bytes(100, 7);
  const std::span<const uint8_t> parts[] = {bytes};
  for (int error : {EINVAL, ENOTSUP}) {
    Refusal refusal(FileOp::kSyncFolder, error, 1);
    EXPECT_TRUE(atomic_save(path, parts).ok()) << error;
  }
  Refusal refusal(FileOp::kSyncFolder, EIO, 1);
  EXPECT_EQ(atomic_save(path, parts).code(), GYR_E_IO);
}

TEST_F(FileTest, ATakenTemporaryNameIsTriedAgainButNotForEver) {
  const std::string path = folder_ + "/file";
  const std::vector<uint8_t> bytes(100, 7);
  const std::span<const uint8_t> parts[] = {bytes};
  {
    Refusal refusal(FileOp::kCreate, EEXIST, 3);
    EXPECT_TRUE(atomic_save(path, parts).ok());
    EXPECT_EQ(std::filesystem::file_size(path), 100);
  }
  Refusal refusal(FileOp::kCreate, EEXIST, 1000);
  EXPECT_EQ(atomic_save(path, parts).code(), GYR_E_ALREADY_EXISTS);
}
#endif

}  // namespace
}  // namespace gyr
