// The process dies at the n-th file operation of a save, for every n: the file is the old or the new one, whole, and
// what it left does not disturb the next process.
#include "tests/iofault/child.h"
#include "tests/iofault/objects.h"
#include "tests/support/file_faults.h"

namespace gyr::test {
namespace {

#ifdef GYR_FAULTS

struct Case {
  size_t kind;
  bool had_old, unnamed;
  Trouble trouble;
};

class Deaths {
 public:
  Deaths(const std::string& base, const Contents& contents, const Case& c) : base_(base), contents_(contents), c_(c) {}

  void run() {
    int leftovers = 0;
    for (int n = 0;; n++) {
      SCOPED_TRACE(std::string(kind().name) + ", " + name(c_.trouble) + " at " + std::to_string(n));
      ASSERT_LT(n, 300);
      fs::remove_all(folder_.path);
      fs::create_directory(folder_.path);
      if (c_.had_old) spill(path_, contents_.before);
      int status = wait_child(start_child([&] { return save_in_child(n); }));
      ASSERT_TRUE(status == 0 || status == kDeathMark) << status;
      leftovers += check_after(status);
      if (testing::Test::HasFailure()) return;
      if (status == 0) break;
    }
    // A file without a name goes with its process; it has a temporary one only between two calls.
    if (c_.unnamed) {
      EXPECT_LE(leftovers, 2);
    }
    if (!c_.unnamed) {
      EXPECT_GE(leftovers, 2);
    }
  }

 private:
  const FileKind& kind() const { return file_kinds()[c_.kind]; }

  int save_in_child(int n) {
    Objects o(base_);
    o.set_version(2);
    Disturber d(c_.trouble, n);
    d.unnamed_files = c_.unnamed;
    o.must(kind().save(o, path_.c_str(), &o.err));
    return 0;
  }

  // Returns how many temporary files there are.
  int check_after(int status) {
    std::string now = slurp(path_);
    bool is_new = now == contents_.after;
    EXPECT_TRUE(is_new || (status != 0 && now == (c_.had_old ? contents_.before : ""))) << now.size() << " bytes";
    EXPECT_EQ(fs::exists(path_), c_.had_old || is_new);
    int temporary = 0;
    for (auto& name : folder_.names()) temporary += name.starts_with(".gyr-") && name.ends_with(".tmp");
    EXPECT_EQ(folder_.names().size(), size_t(temporary) + size_t(fs::exists(path_)));
    EXPECT_LE(temporary, status == 0 ? 0 : 1);
    // The next process opens and saves as if nothing had happened.
    EXPECT_EQ(kind().open(opener_, path_.c_str(), &opener_.err), fs::exists(path_) ? GYR_OK : GYR_E_NOT_FOUND)
        << opener_.err.message;
    EXPECT_EQ(kind().save(opener_, path_.c_str(), &opener_.err), GYR_OK) << opener_.err.message;
    EXPECT_EQ(kind().open(opener_, path_.c_str(), &opener_.err), GYR_OK) << opener_.err.message;
    return temporary;
  }

  const std::string& base_;
  const Contents& contents_;
  const Case c_;
  Folder folder_{true};
  const std::string path_ = folder_.file("file.gyr");
  Objects opener_{base_};
};

TEST(Die, AtEveryOperationOfASave) {
  Folder folder(true);
  std::string base = folder.file("base.gyr");
  world().save(base);
  std::vector<Contents> contents;
  {
    Objects o(base);
    contents = save_all(o, folder);
  }
  constexpr size_t kTable = 1, kBundle = 5;
  for (const Case& c : {Case{kTable, true, true, Trouble::kDie}, Case{kTable, false, true, Trouble::kDie},
                        Case{kTable, true, false, Trouble::kDie}, Case{kTable, false, false, Trouble::kDieTorn},
                        Case{kBundle, true, true, Trouble::kDieTorn}, Case{kBundle, true, false, Trouble::kDie}}) {
    Deaths(base, contents[c.kind], c).run();
    if (HasFailure()) return;
  }
}

#endif

}  // namespace
}  // namespace gyr::test
