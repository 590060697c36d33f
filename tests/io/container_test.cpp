#include "io/container.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/hash.h"
#include "base/knobs.h"
#include "base/random.h"
#include "io/file.h"
#include "tests/support/file_faults.h"

namespace gyr {
namespace {

namespace fs = std::filesystem;

std::vector<uint8_t> bytes_of(std::string_view s) { return {s.begin(), s.end()}; }

std::vector<uint8_t> noise(size_t n, uint64_t seed) {
  Random random(seed);
  std::vector<uint8_t> v(n);
  for (auto& b : v) b = uint8_t(random.next());
  return v;
}

ContainerWriter sample() {
  ContainerWriter w;
  EXPECT_TRUE(w.add("meta", "META", bytes_of("{\"a\": 1}")).ok());
  EXPECT_TRUE(w.add("empty", "NONE", {}).ok());
  EXPECT_TRUE(w.add("packed", "LZ4X", std::vector<uint8_t>(3000, 7), Codec::kLz4).ok());
  EXPECT_TRUE(w.add("noise", "RAND", noise(130, 1), Codec::kLz4).ok());
  return w;
}

class ContainerFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "gyr-io-XXXXXX";
    folder_ = mkdtemp(name.data());
    path_ = folder_ + "/file.gyr";
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string slurp() {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  size_t files() { return size_t(std::distance(fs::directory_iterator(folder_), fs::directory_iterator())); }
  std::string folder_, path_;
};

void check_sample(const Container& c) {
  ASSERT_EQ(c.sections().size(), 4u);
  auto meta = c.view("meta", "META");
  ASSERT_TRUE(meta.ok());
  EXPECT_EQ(std::string(meta->begin(), meta->end()), "{\"a\": 1}");
  EXPECT_EQ(c.view("empty", "NONE")->size(), 0u);
  EXPECT_EQ(c.view("packed", "LZ4X").status().code(), GYR_E_UNSUPPORTED);
  EXPECT_EQ(*c.read("packed", "LZ4X"), std::vector<uint8_t>(3000, 7));
  EXPECT_LT(c.sections()[2].stored_size, 100u);
  EXPECT_EQ(c.sections()[3].codec, Codec::kRaw);  // noise does not shrink, so it is stored as it is
  EXPECT_EQ(*c.read("noise", "RAND"), noise(130, 1));
  EXPECT_TRUE(c.has("meta"));
  EXPECT_FALSE(c.has("met"));
  EXPECT_EQ(c.view("metal", "META").status().code(), GYR_E_CORRUPT);
  EXPECT_EQ(c.view("meta", "META2").status().code(), GYR_E_CORRUPT);
  EXPECT_EQ(c.view("meta", "METB").status().code(), GYR_E_CORRUPT);
  EXPECT_EQ(c.view("meta", "MET1").status().code(), GYR_E_FORMAT_TOO_NEW);
}

TEST_F(ContainerFile, RoundTrip) {
  auto w = sample();
  ASSERT_TRUE(w.save(path_).ok());
  for (auto access : {Container::Access::kMap, Container::Access::kRead}) {
    auto c = Container::open(path_, access);
    ASSERT_TRUE(c.ok()) << c.status().message();
    check_sample(**c);
    if (access == Container::Access::kMap && knobs::mapping()) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>((*c)->view("noise", "RAND")->data()) % 64, 0u);
    }
  }
  auto bytes = w.serialize();
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(std::string(bytes->begin(), bytes->end()), slurp());
  auto parsed = Container::parse(*bytes);
  ASSERT_TRUE(parsed.ok());
  check_sample(**parsed);
  EXPECT_EQ(files(), 1u);
  EXPECT_EQ(Container::open(folder_ + "/none").status().code(), GYR_E_NOT_FOUND);
  EXPECT_EQ(Container::open(folder_).status().code(), GYR_E_INVALID_ARGUMENT);
}

TEST(Container, Empty) {
  auto bytes = ContainerWriter().serialize();
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(bytes->size(), 64u);
  auto c = Container::parse(*bytes);
  ASSERT_TRUE(c.ok()) << c.status().message();
  EXPECT_TRUE((*c)->sections().empty());
}

TEST(Container, WriterRefusesBadSections) {
  ContainerWriter w;
  EXPECT_TRUE(w.add("a", "KIND", {}).ok());
  EXPECT_EQ(w.add("a", "KIND", {}).code(), GYR_E_ALREADY_EXISTS);
  for (std::string name :
       {std::string(), std::string(208, 'x'), std::string("a\nb"), std::string("a\0b", 3), std::string("a\x7f")})
    EXPECT_EQ(w.add(name, "KIND", {}).code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_TRUE(w.add(std::string(207, 'x'), "KIND", {}).ok());
  EXPECT_TRUE(w.add("nothing to pack", "KIND", {}, Codec::kLz4).ok());
  for (auto kind : {"", "ABC", "ABCDE", "AB\n1"}) EXPECT_EQ(w.add("b", kind, {}).code(), GYR_E_INVALID_ARGUMENT);
}

bool refused(gyr_status s) { return s == GYR_E_CORRUPT || s == GYR_E_FORMAT_TOO_NEW || s == GYR_E_FORMAT_TOO_OLD; }

TEST(Container, EveryFlippedBitIsFound) {
  auto bytes = *sample().serialize();
  for (size_t i = 0; i < bytes.size(); i++)
    for (int bit = 0; bit < 8; bit++) {
      auto bad = bytes;
      bad[i] ^= uint8_t(1 << bit);
      auto c = Container::parse(bad);
      ASSERT_FALSE(c.ok()) << "byte " << i << " bit " << bit;
      ASSERT_TRUE(refused(c.status().code())) << c.status().message();
    }
}

TEST(Container, EveryTruncationIsFound) {
  auto bytes = *sample().serialize();
  for (size_t size = 0; size < bytes.size(); size++)
    ASSERT_EQ(Container::parse({bytes.begin(), bytes.begin() + long(size)}).status().code(), GYR_E_CORRUPT) << size;
  for (size_t more : {1, 7, 64, 256}) {
    auto longer = bytes;
    longer.resize(bytes.size() + more);
    ASSERT_EQ(Container::parse(longer).status().code(), GYR_E_CORRUPT) << more;
  }
}

// Edits of the header and table with right checksums: what a hostile writer would send.
struct Forged {
  std::vector<uint8_t> bytes = *sample().serialize();
  template <class T>
  Forged& header(size_t at, T v) {
    std::memcpy(&bytes[at], &v, sizeof v);
    return *this;
  }
  template <class T>
  Forged& entry(size_t i, size_t at, T v) {
    uint64_t table;
    std::memcpy(&table, &bytes[32], 8);
    std::memcpy(&bytes[table + i * 256 + at], &v, sizeof v);
    return *this;
  }
  gyr_status parse() {
    uint64_t table;
    std::memcpy(&table, &bytes[32], 8);
    if (table <= bytes.size()) header(48, hash64(bytes.data() + table, bytes.size() - table));
    header(56, hash64(bytes.data(), 56));
    auto c = Container::parse(bytes);
    if (!c.ok()) return c.status().code();
    return (*c)->read("packed", "LZ4X").status().code();
  }
};

TEST(Container, ForgedFiles) {
  constexpr size_t kCodec = 212, kOffset = 216, kStored = 224, kSize = 232, kReserved = 248;
  EXPECT_EQ(Forged().parse(), GYR_OK);
  EXPECT_EQ(Forged().header<uint16_t>(8, 2).parse(), GYR_E_FORMAT_TOO_NEW);
  EXPECT_EQ(Forged().header<uint16_t>(8, 0).parse(), GYR_E_FORMAT_TOO_OLD);
  EXPECT_EQ(Forged().header<uint16_t>(10, 9).parse(), GYR_OK);     // minor: readable
  EXPECT_EQ(Forged().header<uint32_t>(16, 0x80).parse(), GYR_OK);  // compat flag: ignored
  EXPECT_EQ(Forged().header<uint32_t>(20, 0x80).parse(), GYR_E_FORMAT_TOO_NEW);
  EXPECT_EQ(Forged().header<uint32_t>(40, 3).parse(), GYR_E_CORRUPT);  // count
  EXPECT_EQ(Forged().header<uint32_t>(40, 0xffffffff).parse(), GYR_E_CORRUPT);
  EXPECT_EQ(Forged().header<uint64_t>(32, UINT64_MAX - 63).parse(), GYR_E_CORRUPT);
  EXPECT_EQ(Forged().header<uint64_t>(32, 0).parse(), GYR_E_CORRUPT);
  EXPECT_EQ(Forged().header<uint64_t>(32, 65).parse(), GYR_E_CORRUPT);
  EXPECT_EQ(Forged().header<uint32_t>(12, 128).parse(), GYR_E_CORRUPT);  // size of the header
  EXPECT_EQ(Forged().entry<char>(0, 0, '\n').parse(), GYR_E_CORRUPT);
  EXPECT_EQ(Forged().entry<char>(0, 208, '\n').parse(), GYR_E_CORRUPT);  // kind
  std::array<char, 208> endless;
  endless.fill('x');
  EXPECT_EQ(Forged().entry(0, 0, endless).parse(), GYR_E_CORRUPT);
  Forged hole;  // between the last section and the table
  uint64_t table = 0;
  std::memcpy(&table, &hole.bytes[32], 8);
  hole.bytes.insert(hole.bytes.begin() + long(table), 64, 0);
  EXPECT_EQ(hole.header<uint64_t>(24, hole.bytes.size()).header<uint64_t>(32, table + 64).parse(), GYR_E_CORRUPT);
  EXPECT_EQ(Forged().entry<uint32_t>(0, kCodec, 2).parse(), GYR_E_FORMAT_TOO_NEW);
  EXPECT_EQ(Forged().entry<uint64_t>(0, kReserved, 1).parse(), GYR_E_CORRUPT);
  EXPECT_EQ(Forged().entry<uint64_t>(0, kOffset, 128).parse(), GYR_E_CORRUPT);
  EXPECT_EQ(Forged().entry<uint64_t>(2, kOffset, 64).parse(), GYR_E_CORRUPT);  // overlap
  EXPECT_EQ(Forged().entry<uint64_t>(0, kStored, UINT64_MAX).parse(), GYR_E_CORRUPT);
  EXPECT_EQ(Forged().entry<uint64_t>(0, kSize, 9).parse(), GYR_E_CORRUPT);  // raw size differs
  EXPECT_EQ(Forged().entry<char>(0, 0, 0).parse(), GYR_E_CORRUPT);          // no name
  EXPECT_EQ(Forged().entry<char>(0, 207, 'x').parse(), GYR_E_CORRUPT);
  // lz4 bombs: refused by their declared size, before anything is allocated.
  for (uint64_t size : {uint64_t(1) << 31, uint64_t(1) << 40, uint64_t(1) << 62, UINT64_MAX})
    EXPECT_EQ(Forged().entry<uint64_t>(2, kSize, size).parse(), GYR_E_CORRUPT) << size;
  // A possible size that the payload does not fill, or overflows.
  EXPECT_EQ(Forged().entry<uint64_t>(2, kSize, 3001).parse(), GYR_E_CORRUPT);
  EXPECT_EQ(Forged().entry<uint64_t>(2, kSize, 2999).parse(), GYR_E_CORRUPT);
  Forged twice;
  twice.entry(1, 0, std::array<char, 8>{'m', 'e', 't', 'a'});
  EXPECT_EQ(twice.parse(), GYR_E_CORRUPT);
}

TEST_F(ContainerFile, ModeAndTargets) {
  auto w = sample();
  mode_t before = umask(027);
  ASSERT_TRUE(w.save(path_).ok());
  umask(before);
  struct stat info;
  stat(path_.c_str(), &info);
  EXPECT_EQ(info.st_mode & 07777, 0640u);  // 0644 less the umask
  chmod(path_.c_str(), 0600);
  std::string link = folder_ + "/link";
  ASSERT_EQ(symlink(path_.c_str(), link.c_str()), 0);
  ASSERT_TRUE(ContainerWriter().save(link).ok());
  EXPECT_TRUE(fs::is_symlink(link));  // saved through the link
  stat(path_.c_str(), &info);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_EQ(info.st_size, 64);
  ASSERT_EQ(symlink("made/../made/late", (folder_ + "/dangling").c_str()), 0);
  ASSERT_EQ(symlink("dangling", (folder_ + "/twice").c_str()), 0);
  EXPECT_EQ(w.save(folder_ + "/twice").code(), GYR_E_IO);  // no folder to make it in
  fs::create_directory(folder_ + "/made");
  ASSERT_TRUE(w.save(folder_ + "/twice").ok());
  EXPECT_TRUE(fs::is_symlink(folder_ + "/twice"));
  EXPECT_TRUE(fs::is_symlink(folder_ + "/dangling"));
  EXPECT_TRUE(fs::is_regular_file(folder_ + "/made/late"));
  ASSERT_EQ(symlink((folder_ + "/made/whole").c_str(), (folder_ + "/absolute").c_str()), 0);
  ASSERT_TRUE(w.save(folder_ + "/absolute").ok());
  EXPECT_TRUE(fs::is_regular_file(folder_ + "/made/whole"));
  fs::path here = fs::current_path();
  fs::current_path(folder_ + "/made");
  EXPECT_TRUE(w.save("without a folder").ok());
  fs::current_path(here);
  EXPECT_TRUE(fs::is_regular_file(folder_ + "/made/without a folder"));
  EXPECT_FALSE(w.save("/proc/cannot be made here").ok());
  EXPECT_FALSE(w.save("/").ok());
  Status s = w.save(folder_ + "/missing/x");
  EXPECT_EQ(s.code(), GYR_E_IO);
  EXPECT_EQ(s.info()->os_errno, ENOENT);
  EXPECT_NE(std::string(s.message()).find("missing/x"), std::string::npos);
  EXPECT_EQ(w.save(folder_).code(), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(w.save("/dev/full").code(), GYR_E_INVALID_ARGUMENT);
}

#ifdef GYR_FAULTS
using test::Disturber;
using test::Trouble;

TEST_F(ContainerFile, SaveSurvivesEveryIoFailure) {
  ContainerWriter old;
  ASSERT_TRUE(old.add("old", "OLD1", bytes_of("old")).ok());
  auto w = sample();
  auto fresh = *w.serialize();
  std::string new_text(fresh.begin(), fresh.end());
  for (bool persistent : {false, true})
    for (int64_t n = 0;; n++) {
      ASSERT_LT(n, 200);
      ASSERT_TRUE(old.save(path_).ok());
      std::string old_text = slurp();
      Disturber disturber(Trouble::kError, n, persistent);
      Status s = w.save(path_);
      EXPECT_EQ(files(), 1u) << "a temporary file was left after failure " << n;
      EXPECT_EQ(slurp(), disturber.renamed() ? new_text : old_text) << n << ": " << s.message();
      if (s.ok()) {
        EXPECT_TRUE(disturber.renamed());
        if (!disturber.met()) break;
        continue;  // unnamed files are a choice: without them a save takes another way
      }
      EXPECT_EQ(s.code(), GYR_E_IO);
      EXPECT_EQ(s.info()->os_errno, EIO);
      EXPECT_NE(std::string(s.message()).find("file.gyr"), std::string::npos) << s.message();
    }
}

TEST_F(ContainerFile, OpenSurvivesEveryIoFailure) {
  ASSERT_TRUE(sample().save(path_).ok());
  for (auto access : {Container::Access::kMap, Container::Access::kRead})
    for (int64_t n = 0;; n++) {
      ASSERT_LT(n, 20);
      Disturber disturber(Trouble::kError, n, true);
      auto c = Container::open(path_, access);
      ASSERT_NE(c.ok(), disturber.met());
      if (c.ok()) break;
      EXPECT_EQ(c.status().code(), GYR_E_IO);
      EXPECT_NE(std::string(c.status().message()).find("file.gyr"), std::string::npos);
    }
}
#endif

// A full disk, played by the file size limit of a child process.
TEST_F(ContainerFile, DiskFullKeepsTheOldFile) {
  ASSERT_TRUE(sample().save(path_).ok());
  std::string before = slurp();
  ContainerWriter big;
  ASSERT_TRUE(big.add("big", "BIG1", noise(1 << 20, 2)).ok());
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    rlimit limit{100000, 100000};
    setrlimit(RLIMIT_FSIZE, &limit);
    Status s = big.save(path_);
    _exit(s.code() == GYR_E_IO && s.info()->os_errno == EFBIG ? 0 : 1);
  }
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(slurp(), before);
  EXPECT_EQ(files(), 1u);
}

// SIGXFSZ is the host's when it has it blocked, or one is waiting already; otherwise it never comes.
TEST_F(ContainerFile, TheFileSizeSignalStaysTheHosts) {
  ContainerWriter big;
  ASSERT_TRUE(big.add("big", "BIG1", noise(1 << 20, 2)).ok());
  for (bool blocked : {false, true})
    for (bool waiting : {false, true}) {
      if (waiting && !blocked) continue;  // it would have come
      pid_t child = fork();
      if (child == 0) {
        sigset_t only, mask, pending;
        sigemptyset(&only);
        sigaddset(&only, SIGXFSZ);
        if (blocked) sigprocmask(SIG_BLOCK, &only, nullptr);
        if (waiting) raise(SIGXFSZ);
        rlimit limit{100000, 100000};
        setrlimit(RLIMIT_FSIZE, &limit);
        Status s = big.save(path_);
        sigpending(&pending);
        sigprocmask(SIG_BLOCK, nullptr, &mask);
        if (s.code() != GYR_E_IO || s.info()->os_errno != EFBIG) _exit(1);
        if (sigismember(&pending, SIGXFSZ) != blocked) _exit(2);
        _exit(sigismember(&mask, SIGXFSZ) == blocked ? 0 : 3);
      }
      int status;
      ASSERT_EQ(waitpid(child, &status, 0), child);
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status << ", blocked " << blocked;
    }
}

}  // namespace
}  // namespace gyr
