// Files whose checksums are right and whose stored text is not: damage is the file's fault (CORRUPT), never the
// caller's argument, and a file of another kind is not a missing one.
#include "io/container.h"
#include "tests/iofault/objects.h"
#include "tests/support/mutants.h"

namespace gyr::test {
namespace {

std::string text_of(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

class Stored : public testing::Test {
 protected:
  // The base bundle with its manifest changed.
  gyr_status open_with(const std::string& manifest) {
    auto file = take(Container::open(base_));
    ContainerWriter writer;
    for (auto& section : file->sections()) {
      auto bytes = take(file->read(section.name, section.kind));
      if (section.name == "manifest") bytes.assign(manifest.begin(), manifest.end());
      ok(writer.add(section.name, section.kind, bytes, section.codec));
    }
    std::string path = folder_.file("changed.gyr");
    ok(writer.save(path));
    gyr_status s = file_kinds().back().open(o_, path.c_str(), &o_.err);
    if (s != GYR_OK) {
      EXPECT_NE(std::string(o_.err.message).find("changed.gyr"), std::string::npos) << o_.err.message;
    }
    return s;
  }

  Folder folder_{true};
  std::string base_ = saved();
  Objects o_{base_};
  std::string manifest_ = text_of(take(take(Container::open(base_))->read("manifest", "BND1")));

 private:
  std::string saved() {
    std::string path = folder_.file("base.gyr");
    world().save(path);
    return path;
  }
};

TEST_F(Stored, ADamagedManifestIsCorrupt) {
  ASSERT_EQ(open_with(manifest_), GYR_OK) << o_.err.message;
  for (std::string bad :
       {"", "{", "[]", "null", "{}", "{\"version\":1}", "{\"version\":\"1\"}", "\xff\xfe",
        "{\"version\":1,\"components\":{},\"pipeline\":{}}", "{\"version\":1,\"components\":[3],\"pipeline\":{}}",
        "{\"version\":1,\"components\":[{\"name\":\"x\"}],\"pipeline\":{}}",
        "{\"version\":1,\"components\":[],\"pipeline\":{}}",
        "{\"version\":1,\"components\":[],\"pipeline\":{},\"more\":1}"})
    EXPECT_EQ(open_with(bad), GYR_E_CORRUPT) << bad << ": " << o_.err.message;
  for (size_t size = 0; size < manifest_.size(); size += 7)
    ASSERT_EQ(open_with(manifest_.substr(0, size)), GYR_E_CORRUPT) << size << ": " << o_.err.message;
}

TEST_F(Stored, EveryMistakeInAManifest) {
  int refused = 0, taken = 0;
  for_each_mutant(manifest_, [&](const std::string& manifest, const std::string& where) {
    gyr_status s = open_with(manifest);
    ASSERT_TRUE(s == GYR_OK || s == GYR_E_CORRUPT || s == GYR_E_FORMAT_TOO_NEW)
        << where << ": " << gyr_status_name(s) << ": " << o_.err.message;
    (s == GYR_OK ? taken : refused)++;
  });
  EXPECT_GT(refused, 500);
  EXPECT_GT(taken, 10);  // metadata
}

TEST_F(Stored, AManifestThatDoesNotFitItsFileIsCorrupt) {
  auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = manifest_;
    size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from << " in " << text;
    return text.replace(at, from.size(), to);
  };
  EXPECT_EQ(open_with(changed("\"users\"", "\"nobody\"")), GYR_E_CORRUPT) << o_.err.message;  // no such section
  EXPECT_NE(std::string(o_.err.message).find("nobody"), std::string::npos) << o_.err.message;
  EXPECT_EQ(open_with(changed("\"type\":\"table\"", "\"type\":\"index\"")), GYR_E_CORRUPT) << o_.err.message;
  EXPECT_EQ(open_with(changed("\"stage\":\"retrieve\"", "\"stage\":\"retreive\"")), GYR_E_CORRUPT) << o_.err.message;
  EXPECT_EQ(open_with(changed("\"type\":\"table\"", "\"type\":\"tensor\"")), GYR_E_FORMAT_TOO_NEW) << o_.err.message;
}

// An index is read in place: one that is compressed is not valid-but-unsupported, no gyr writes it.
TEST_F(Stored, ACompressedIndexIsCorrupt) {
  auto contents = save_all(o_, folder_);
  std::string path = folder_.file("packed.gyr");
  for (size_t k : {size_t(2), size_t(5)}) {  // index, bundle
    spill(path, contents[k].after);
    auto file = take(Container::open(path));
    ContainerWriter writer;
    for (auto& section : file->sections())
      ok(writer.add(section.name, section.kind, take(file->read(section.name, section.kind)), Codec::kLz4));
    ok(writer.save(path));
    EXPECT_EQ(file_kinds()[k].open(o_, path.c_str(), &o_.err), GYR_E_CORRUPT) << o_.err.message;
    EXPECT_NE(std::string(o_.err.message).find("packed.gyr"), std::string::npos) << o_.err.message;
  }
}

// What a later library may have written: versions of the manifest and of the graphs in it, and every section's layout.
TEST_F(Stored, LaterVersionsAreTooNew) {
  std::string manifest = manifest_;
  for (size_t at = manifest.find("\"version\":1"); at != std::string::npos;
       at = manifest.find("\"version\":1", at + 1)) {
    std::string later = manifest;
    later[at + 10] = '2';
    EXPECT_EQ(open_with(later), GYR_E_FORMAT_TOO_NEW) << o_.err.message;
  }
  auto file = take(Container::open(base_));
  for (auto& newer : file->sections()) {
    ContainerWriter writer;
    for (auto& section : file->sections()) {
      std::string kind = section.kind;
      if (section.name == newer.name) kind.back() = '9';  // a layout that no library has yet
      ok(writer.add(section.name, kind, take(file->read(section.name, section.kind)), section.codec));
    }
    std::string path = folder_.file("later.gyr");
    ok(writer.save(path));
    EXPECT_EQ(file_kinds().back().open(o_, path.c_str(), &o_.err), GYR_E_FORMAT_TOO_NEW)
        << newer.name << ": " << o_.err.message;
  }
}

// Every kind opened as every other: the host must not take it for "no file yet" and write over it.
TEST_F(Stored, AFileOfAnotherKindIsNotMissing) {
  auto contents = save_all(o_, folder_);
  std::string path = folder_.file("other.gyr");
  for (size_t have = 0; have < contents.size(); have++)
    for (size_t want = 0; want < contents.size(); want++) {
      spill(path, contents[have].after);
      gyr_status s = file_kinds()[want].open(o_, path.c_str(), &o_.err);
      EXPECT_EQ(s, have == want ? GYR_OK : GYR_E_CORRUPT)
          << file_kinds()[have].name << " as " << file_kinds()[want].name;
      if (have != want) {
        EXPECT_NE(std::string(o_.err.message).find("other.gyr"), std::string::npos) << o_.err.message;
      }
    }
  unlink(path.c_str());
  for (auto& kind : file_kinds()) EXPECT_EQ(kind.open(o_, path.c_str(), &o_.err), GYR_E_NOT_FOUND) << kind.name;
}

}  // namespace
}  // namespace gyr::test
