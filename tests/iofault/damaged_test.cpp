// The golden files with sections that are cut short or changed, checksums right: what a defect elsewhere, or somebody
// hostile, would hand to the readers. Cut short is always CORRUPT; changed is that, or another valid content.
#include "base/random.h"
#include "io/container.h"
#include "tests/iofault/objects.h"

namespace gyr::test {
namespace {

class Damaged : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    gyr_error err = GYR_ERROR_INIT;
    ASSERT_EQ(gyr_runtime_create(nullptr, &runtime_, &err), GYR_OK) << err.message;
    std::string golden = GYR_SOURCE_DIR "/tests/golden/", name = std::string("/") + GetParam() + ".gyr";
    file_ = take(Container::open(golden + (fs::exists(golden + "1.0" + name) ? "1.0" : "1.0-stores") + name));
  }
  void TearDown() override { gyr_runtime_destroy(runtime_); }

  // Opens the file with one section's bytes replaced.
  gyr_status open(const std::string& name, const std::vector<uint8_t>& bytes) {
    ContainerWriter writer;
    for (auto& s : file_->sections())
      ok(writer.add(s.name, s.kind, s.name == name ? bytes : take(file_->read(s.name, s.kind)), s.codec));
    std::string path = folder_.file("damaged.gyr");
    ok(writer.save(path));
    std::string kind = GetParam();
    if (kind.starts_with("workflow")) return open_as(gyr_workflow_open, gyr_workflow_destroy, path);
    auto open_cache = [](gyr_runtime* r, const char* file, gyr_cache** out, gyr_error* err) noexcept {
      return gyr_cache_open(r, file, nullptr, out, err);
    };
    if (kind.starts_with("cache")) return open_as<gyr_cache>(open_cache, gyr_cache_destroy, path);
    if (kind.starts_with("table") || kind == "past") return open_as(gyr_table_open, gyr_table_destroy, path);
    if (kind.starts_with("index")) return open_as(gyr_index_open, gyr_index_destroy, path);
    if (kind.starts_with("model")) return open_as(gyr_model_open, gyr_model_destroy, path);
    return open_as(gyr_bundle_open, gyr_bundle_destroy, path);
  }
  template <class H>
  gyr_status open_as(gyr_status (*open)(gyr_runtime*, const char*, H**, gyr_error*) noexcept,
                     void (*destroy)(H*) noexcept, const std::string& path) {
    H* handle = nullptr;
    err_ = GYR_ERROR_INIT;
    gyr_status s = open(runtime_, path.c_str(), &handle, &err_);
    EXPECT_EQ(handle != nullptr, s == GYR_OK);
    destroy(handle);
    return s;
  }

  // The sections of a bundle's components are those of the other files.
  std::vector<SectionInfo> sections() const {
    std::vector<SectionInfo> out;
    for (auto& s : file_->sections())
      if (GetParam() != std::string("bundle") || s.kind == "BND1" || s.kind == "IDS1") out.push_back(s);
    return out;
  }

  gyr_runtime* runtime_ = nullptr;
  gyr_error err_ = GYR_ERROR_INIT;
  Folder folder_{true};
  std::shared_ptr<const Container> file_;
};

TEST_P(Damaged, CutShort) {
  for (auto& section : sections()) {
    auto whole = take(file_->read(section.name, section.kind));
    for (size_t size = 0; size < whole.size(); size += size < 400 || size + 100 > whole.size() ? 1 : 13) {
      gyr_status s = open(section.name, {whole.begin(), whole.begin() + std::ptrdiff_t(size)});
      ASSERT_EQ(s, GYR_E_CORRUPT) << section.name << " of " << size << " bytes: " << err_.message;
    }
    whole.resize(whole.size() + 8);
    ASSERT_EQ(open(section.name, whole), GYR_E_CORRUPT) << section.name << " with eight bytes too many";
  }
}

TEST_P(Damaged, Changed) {
  Random random(91);
  int refused = 0;
  for (auto& section : sections()) {
    const auto whole = take(file_->read(section.name, section.kind));
    for (size_t at = 0; at < whole.size(); at += at < 200 ? 1 : 1 + random.below(20))
      for (uint8_t value : {uint8_t(0), uint8_t(0xff), uint8_t(whole[at] ^ 1), uint8_t(whole[at] + 2), uint8_t(7)}) {
        if (value == whole[at]) continue;
        auto bytes = whole;
        bytes[at] = value;
        gyr_status s = open(section.name, bytes);
        ASSERT_TRUE(s == GYR_OK || s == GYR_E_CORRUPT || s == GYR_E_FORMAT_TOO_NEW || s == GYR_E_FORMAT_TOO_OLD)
            << section.name << ", byte " << at << " is " << int(value) << ": " << gyr_status_name(s) << ": "
            << err_.message;
        refused += s != GYR_OK;
      }
  }
  EXPECT_GT(refused, 20);
}

// Eight bytes at once: counts and offsets.
TEST_P(Damaged, Numbers) {
  for (auto& section : sections()) {
    const auto whole = take(file_->read(section.name, section.kind));
    for (size_t at = 0; at + 8 <= whole.size() && at < 1000; at += 4)
      for (uint64_t value : {uint64_t(0), uint64_t(1), UINT64_MAX, uint64_t(1) << 63, uint64_t(1) << 31,
                             uint64_t(whole.size()), uint64_t(1) << 58}) {
        auto bytes = whole;
        std::memcpy(&bytes[at], &value, 8);
        gyr_status s = open(section.name, bytes);
        ASSERT_TRUE(s == GYR_OK || s == GYR_E_CORRUPT || s == GYR_E_FORMAT_TOO_NEW || s == GYR_E_FORMAT_TOO_OLD)
            << section.name << ", bytes from " << at << " are " << value << ": " << gyr_status_name(s) << ": "
            << err_.message;
      }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, Damaged,
                         testing::Values("bundle", "cache_float32", "cache_int8", "index_exact", "index_graph",
                                         "model_dlrm", "model_ials", "model_item_knn", "model_popularity",
                                         "model_two_tower", "past", "table", "workflow"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace gyr::test
