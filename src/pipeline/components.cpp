#include "pipeline/components.h"

#include <algorithm>

#include "base/bytes.h"

namespace gyr {

Result<std::shared_ptr<const IdList>> IdList::create(const std::vector<std::string_view>& ids) {
  auto list = std::make_shared<IdList>();
  for (std::string_view id : ids) {
    list->chars_.insert(list->chars_.end(), id.begin(), id.end());
    list->offsets_.push_back(int64_t(list->chars_.size()));
  }
  GYR_TRY(list->index());
  return std::shared_ptr<const IdList>(std::move(list));
}

Result<std::shared_ptr<const IdList>> IdList::load(const Container& file, std::string_view name) {
  GYR_ASSIGN(std::vector<uint8_t> bytes, file.read(name, "IDS1"));
  ByteReader reader(bytes, "id list");
  auto list = std::make_shared<IdList>();
  GYR_TRY(reader.get_vector(&list->chars_));
  GYR_TRY(reader.get_vector(&list->offsets_));
  GYR_TRY(reader.finish());
  const auto& o = list->offsets_;
  bool good = !o.empty() && o.front() == 0 && o.back() == int64_t(list->chars_.size());
  for (size_t i = 1; good && i < o.size(); i++) good = o[i - 1] <= o[i];
  if (!good) return fail(GYR_E_CORRUPT, "bundle", "%.*s: offsets are not monotone", int(name.size()), name.data());
  Status indexed = list->index();
  if (!indexed.ok()) return fail(GYR_E_CORRUPT, "bundle", "%.*s: %s", int(name.size()), name.data(), indexed.message());
  return std::shared_ptr<const IdList>(std::move(list));
}

Status IdList::save(ContainerWriter* file, std::string_view name) const {
  ByteWriter writer;
  writer.put_array(chars_);
  writer.put_array(offsets_);
  return file->add(name, "IDS1", std::move(writer.bytes()), Codec::kLz4);
}

Status IdList::index() {
  labels_.reserve(size());
  for (uint64_t i = 0; i < size(); i++) {
    if (!labels_.emplace(id(i), int64_t(i)).second)
      return fail(GYR_E_INVALID_ARGUMENT, "bundle", "ids[%llu]: \"%.*s\" stands twice", (unsigned long long)i,
                  int(std::min<size_t>(id(i).size(), 80)), id(i).data());
  }
  return {};
}

int64_t IdList::label(std::string_view id) const {
  auto it = labels_.find(id);
  return it == labels_.end() ? -1 : it->second;
}

}  // namespace gyr
