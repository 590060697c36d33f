// Every saving function meets every trouble at every file operation: the file is the old or the new one, whole, nothing
// else stays behind, and the same call works once the trouble is over.
#include "tests/iofault/objects.h"
#include "tests/support/file_faults.h"

namespace gyr::test {
namespace {

TEST(Save, AnEmptyPathIsRefusedByName) {
  Folder folder(true);
  std::string base = folder.file("base.gyr");
  world().save(base);
  Objects o(base);
  for (const FileKind& kind : file_kinds()) {
    EXPECT_EQ(kind.save(o, "", &o.err), GYR_E_INVALID_ARGUMENT) << kind.name;
    EXPECT_NE(std::string(o.err.message).find("path is empty"), std::string::npos) << o.err.message;
    EXPECT_EQ(kind.open(o, "", &o.err), GYR_E_INVALID_ARGUMENT) << kind.name;
    EXPECT_NE(std::string(o.err.message).find("path is empty"), std::string::npos) << o.err.message;
  }
}

#ifdef GYR_FAULTS

constexpr Plan kPlans[] = {
    {Trouble::kError, false},     {Trouble::kError, true},        {Trouble::kNoSpace, false},
    {Trouble::kNoSpace, true},    {Trouble::kTorn, false},        {Trouble::kTorn, true},
    {Trouble::kInterrupt, false}, {Trouble::kInterrupt, true, 3}, {Trouble::kInterrupt, false, 1000},
    {Trouble::kShort, false},     {Trouble::kShort, true}};

class SaveSweep {
 public:
  SaveSweep(Objects& o, const FileKind& kind, const Contents& contents, bool had_old, bool unnamed)
      : o_(o), kind_(kind), contents_(contents), had_old_(had_old), unnamed_(unnamed) {}

  // Returns how many times the trouble was met.
  int run(const Plan& plan) {
    for (int n = 0;; n++) {
      if (n > 300) {
        ADD_FAILURE() << "no end";
        return n;
      }
      unlink(path_.c_str());
      if (had_old_) spill(path_, contents_.before);
      if (!step(plan, n)) return n;
    }
  }

 private:
  bool step(const Plan& plan, int n) {
    SCOPED_TRACE(std::string(kind_.name) + ", " + name(plan.trouble) + (plan.persistent ? " for good" : " once") +
                 " at " + std::to_string(n) + (had_old_ ? "" : ", first save") +
                 (unnamed_ ? "" : ", no unnamed files"));
    int before = open_files();
    gyr_error err = GYR_ERROR_INIT;
    gyr_status s;
    bool met, renamed;
    {
      Disturber d(plan.trouble, n, plan.persistent, plan.times);
      d.unnamed_files = unnamed_;
      s = kind_.save(o_, path_.c_str(), &err);
      met = d.met(), renamed = d.renamed();
      if (s != GYR_OK) {
        EXPECT_EQ(err.os_errno, d.error());
      }
      // Files without a name are a choice: where they fail, a save takes another way.
      if (s == GYR_OK && met && !harmless(plan.trouble)) {
        EXPECT_TRUE(unnamed_ && (d.first() == FileOp::kCreateUnnamed || d.first() == FileOp::kLink)) << int(d.first());
      }
    }
    EXPECT_EQ(open_files(), before);
    if (s != GYR_OK) {
      EXPECT_EQ(s, GYR_E_IO) << err.message;
      EXPECT_FALSE(harmless(plan.trouble)) << err.message;
      EXPECT_NE(std::string(err.message).find("file.gyr"), std::string::npos) << err.message;
    }
    EXPECT_EQ(s == GYR_OK || renamed, renamed);
    std::vector<std::string> there;
    if (renamed || had_old_) there = {"file.gyr"};
    EXPECT_EQ(folder_.names(), there);
    bool whole = slurp(path_) == (renamed ? contents_.after : had_old_ ? contents_.before : "");
    EXPECT_TRUE(whole) << err.message;
    if (!met) {
      EXPECT_EQ(s, GYR_OK) << err.message;
      return false;
    }
    EXPECT_EQ(kind_.save(o_, path_.c_str(), &err), GYR_OK) << err.message;  // the object is as good as before
    EXPECT_TRUE(slurp(path_) == contents_.after);
    EXPECT_EQ(folder_.names(), std::vector<std::string>{"file.gyr"});
    return !testing::Test::HasFailure();
  }

  Objects& o_;
  const FileKind& kind_;
  const Contents& contents_;
  const bool had_old_, unnamed_;
  Folder folder_{true};
  const std::string path_ = folder_.file("file.gyr");
};

TEST(Save, SurvivesEveryTroubleAtEveryOperation) {
  Folder folder(true);
  std::string base = folder.file("base.gyr");
  world().save(base);
  Objects o(base);
  auto contents = save_all(o, folder);
  int total = 0;
  for (size_t k = 0; k < file_kinds().size(); k++)
    for (bool had_old : {true, false})
      for (bool unnamed : {true, false}) {
        SaveSweep sweep(o, file_kinds()[k], contents[k], had_old, unnamed);
        for (const Plan& plan : kPlans) {
          int met = sweep.run(plan);
          EXPECT_GE(met, plan.trouble == Trouble::kTorn || plan.trouble == Trouble::kShort ? 2 : 5)
              << name(plan.trouble);  // the sweep sees the operations
          total += met;
        }
        if (HasFailure()) return;
      }
  // What was saved last, and disturbed all along, opens.
  gyr_error err = GYR_ERROR_INIT;
  for (size_t k = 0; k < file_kinds().size(); k++) {
    spill(base, contents[k].after);
    EXPECT_EQ(file_kinds()[k].open(o, base.c_str(), &err), GYR_OK) << file_kinds()[k].name << ": " << err.message;
  }
  RecordProperty("disturbed_saves", total);
  std::printf("%d disturbed saves\n", total);
}

#endif

}  // namespace
}  // namespace gyr::test
