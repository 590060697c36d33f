// Every opening function meets every trouble at every file operation: a status that says what and where, nothing
// opened, nothing leaked, what is served unchanged, and the same call works once the trouble is over.
#include "tests/iofault/objects.h"
#include "tests/support/file_faults.h"

namespace gyr::test {
namespace {

#ifdef GYR_FAULTS

constexpr Plan kPlans[] = {
    {Trouble::kError, false}, {Trouble::kError, true}, {Trouble::kInterrupt, false}, {Trouble::kInterrupt, false, 1000},
    {Trouble::kShort, false}, {Trouble::kShort, true}, {Trouble::kEnd, false}};

// Calls `call` until the trouble at its n-th operation is not met; returns how often it was.
int sweep(const Plan& plan, const std::string& path, const std::function<gyr_status(gyr_error*)>& call) {
  for (int n = 0; n < 300; n++) {
    SCOPED_TRACE(std::string(name(plan.trouble)) + (plan.persistent ? " for good" : " once") + " at " +
                 std::to_string(n));
    int before = open_files();
    gyr_error err = GYR_ERROR_INIT;
    gyr_status s;
    bool met;
    {
      Disturber d(plan.trouble, n, plan.persistent, plan.times);
      s = call(&err);
      met = d.met();
      if (s == GYR_E_IO) {
        EXPECT_EQ(err.os_errno, d.error());
      }
    }
    EXPECT_EQ(open_files(), before);
    EXPECT_EQ(s, !met || harmless(plan.trouble)  ? GYR_OK
                 : plan.trouble == Trouble::kEnd ? GYR_E_CORRUPT
                                                 : GYR_E_IO)
        << err.message;
    if (s != GYR_OK) {
      EXPECT_NE(std::string(err.message).find(path), std::string::npos) << err.message;
    }
    if (!met) return n;
    EXPECT_EQ(call(&err), GYR_OK) << err.message;
    if (testing::Test::HasFailure()) return n;
  }
  ADD_FAILURE() << "no end";
  return 300;
}

TEST(Open, SurvivesEveryTroubleAtEveryOperation) {
  Folder folder(true);
  std::string base = folder.file("base.gyr");
  world().save(base);
  Objects o(base);
  auto contents = save_all(o, folder);
  for (size_t k = 0; k < file_kinds().size(); k++) {
    const FileKind& kind = file_kinds()[k];
    std::string path = folder.file(std::string(kind.name) + ".gyr");
    spill(path, contents[k].after);
    for (const Plan& plan : kPlans) {
      SCOPED_TRACE(kind.name);
      int met = sweep(plan, path, [&](gyr_error* err) { return kind.open(o, path.c_str(), err); });
      // Tables and caches are read, the others mapped.
      bool reads = std::string(kind.name) == "table" || std::string(kind.name) == "cache";
      if (plan.trouble == Trouble::kError || plan.trouble == Trouble::kInterrupt) {
        EXPECT_GE(met, 3);
      }
      if (plan.trouble == Trouble::kShort || plan.trouble == Trouble::kEnd) {
        EXPECT_EQ(met > 0, reads);
      }
    }
  }
}

// Also while it is truncated more and more, which mapped files cannot be while they are open.
TEST(Open, EveryTruncationIsCorrupt) {
  Folder folder(true);
  std::string base = folder.file("base.gyr");
  world().save(base);
  Objects o(base);
  auto contents = save_all(o, folder);
  std::string path = folder.file("cut.gyr");
  for (size_t k = 0; k < file_kinds().size(); k++) {
    const std::string& whole = contents[k].after;
    for (size_t size = 0; size < whole.size(); size += 1 + whole.size() / 60) {
      spill(path, whole.substr(0, size));
      ASSERT_EQ(file_kinds()[k].open(o, path.c_str(), &o.err), GYR_E_CORRUPT) << file_kinds()[k].name << " " << size;
      ASSERT_NE(std::string(o.err.message).find("cut.gyr"), std::string::npos) << o.err.message;
    }
  }
}

std::vector<int64_t> answer(Objects& o, uint64_t* generation) {
  Answer a({user_id(3)});
  o.must(gyr_bundle_recommend(o.bundle, &a.args, nullptr, &o.err));
  *generation = a.args.generation;
  return a.ids;
}

TEST(Publish, SurvivesEveryTroubleAtEveryOperation) {
  Folder folder(true);
  std::string base = folder.file("base.gyr"), next = folder.file("next.gyr");
  world().save(base);
  world().save(next);
  Objects o(base);
  uint64_t serving = 0, number = 0;
  std::vector<int64_t> ids = answer(o, &serving);
  for (const Plan& plan : kPlans) {
    sweep(plan, next, [&](gyr_error* err) {
      gyr_status s = gyr_bundle_publish(o.bundle, next.c_str(), GYR_PUBLISH_CARRY_ROWS, &number, err);
      if (s == GYR_OK) serving = number;
      uint64_t now = 0;
      EXPECT_EQ(answer(o, &now), ids);
      EXPECT_EQ(now, serving);  // a failed publish changes nothing, not even the number
      return s;
    });
  }
  // Going back needs no file, so it works when no file can be read at all.
  Disturber d(Trouble::kError, 0, true);
  uint64_t newest = serving;
  ASSERT_EQ(gyr_bundle_rollback(o.bundle, &number, &o.err), GYR_OK) << o.err.message;
  EXPECT_NE(number, newest);
  EXPECT_EQ(answer(o, &serving), ids);
  EXPECT_EQ(serving, number);
  EXPECT_FALSE(d.met());
}

#endif

}  // namespace
}  // namespace gyr::test
