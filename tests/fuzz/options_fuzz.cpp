// Option, argument and info structs of any size and content, as a host built against other headers passes them. The
// first byte chooses the call, the next four are struct_size; memory has exactly that many bytes.
#include <gyr/gyr.h>

#include <cstring>

#include "tests/fuzz/common.h"

using namespace gyr::fuzz;

namespace {

// A struct in a block of its own: AddressSanitizer sees the byte behind it.
class Block {
 public:
  Block(const uint8_t* data, size_t size) {
    uint32_t declared = 0;
    std::memcpy(&declared, data, std::min<size_t>(size, 4));
    size_ = std::max<size_t>(4, std::min<size_t>(declared, 1 << 17));
    bytes_ = static_cast<uint8_t*>(std::calloc(1, size_));
    std::memcpy(bytes_, data, std::min(size, size_));
  }
  ~Block() { std::free(bytes_); }
  Block(const Block&) = delete;
  // Pointers are the caller's promise: they are put in place, not guessed. One that struct_size cuts through is null.
  template <class T>
  void put(size_t at, T value) {
    if (at + sizeof value <= size_)
      std::memcpy(bytes_ + at, &value, sizeof value);
    else if (at < size_)
      std::memset(bytes_ + at, 0, size_ - at);
  }
  template <class T>
  T* as() {
    return reinterpret_cast<T*>(bytes_);
  }

 private:
  uint8_t* bytes_;
  size_t size_;
};

struct World {
  gyr_runtime* runtime = nullptr;
  gyr_index* index = nullptr;
  gyr_table* table = nullptr;
  gyr_error err = GYR_ERROR_INIT;

  World() {
    gyr_runtime_options o{};
    o.struct_size = sizeof o;
    o.threads = 1;
    o.memory_budget = 64 << 20;
    must(gyr_runtime_create(&o, &runtime, &err) == GYR_OK, "a runtime", err.message);
    gyr_index_options i{};
    i.struct_size = sizeof i;
    i.dim = 2;
    must(gyr_index_create(runtime, &i, &index, &err) == GYR_OK, "an index", err.message);
    int64_t ids[] = {1, 2};
    float vectors[] = {1, 0, 0, 1};
    must(gyr_index_upsert(index, ids, vectors, 2, nullptr, &err) == GYR_OK, "vectors", err.message);
    const char* schema = R"({"name":"t","key":"id","columns":[{"name":"v","dtype":"int64"}]})";
    must(gyr_table_create(runtime, schema, &table, &err) == GYR_OK, "a table", err.message);
  }
};

void search(World& w, Block& b, gyr_error* err) {
  float queries[] = {1, 2, 3, 4};
  static int64_t ids[2 * 65536];
  static float scores[2 * 65536];
  uint32_t counts[2];
  uint64_t filter[4] = {~uint64_t(0), 0, 1, 0};
  uint64_t bits = 0;
  if (b.as<gyr_search_args>()->struct_size >= offsetof(gyr_search_args, filter_bits) + 8)
    std::memcpy(&bits, b.as<char>() + offsetof(gyr_search_args, filter_bits), 8);
  b.put(offsetof(gyr_search_args, queries), &queries[0]);
  b.put(offsetof(gyr_search_args, n), uint64_t(2));
  b.put(offsetof(gyr_search_args, filter), bits % 3 ? &filter[0] : nullptr);
  b.put(offsetof(gyr_search_args, filter_bits), bits % 257);
  b.put(offsetof(gyr_search_args, out_ids), &ids[0]);
  b.put(offsetof(gyr_search_args, out_scores), &scores[0]);
  b.put(offsetof(gyr_search_args, out_counts), &counts[0]);
  (void)gyr_index_search(w.index, b.as<gyr_search_args>(), nullptr, err);
}

void create_index(World& w, Block& b, gyr_error* err) {
  gyr_index* index = nullptr;
  if (gyr_index_create(w.runtime, b.as<gyr_index_options>(), &index, err) == GYR_OK) gyr_index_destroy(index);
}

void create_runtime(Block& b, gyr_error* err) {
  uint32_t threads = 0;
  if (b.as<gyr_runtime_options>()->struct_size >= 8) std::memcpy(&threads, b.as<char>() + 4, 4);
  b.put(offsetof(gyr_runtime_options, threads), threads % 3 ? 1u : threads | 0x10000u);  // a pool costs time
  b.put(offsetof(gyr_runtime_options, allocator), nullptr);
  b.put(offsetof(gyr_runtime_options, logger), nullptr);
  b.put(offsetof(gyr_runtime_options, executor), nullptr);
  b.put(offsetof(gyr_runtime_options, device), nullptr);
  gyr_runtime* runtime = nullptr;
  if (gyr_runtime_create(b.as<gyr_runtime_options>(), &runtime, err) == GYR_OK) gyr_runtime_destroy(runtime);
}

void keys(World& w, Block& b, gyr_error* err) {
  int64_t ints[] = {1, 2};
  gyr_str strings[] = {{"a", 1}, {"", 0}};
  b.put(offsetof(gyr_keys, count), uint64_t(2));
  b.put(offsetof(gyr_keys, ints), &ints[0]);
  b.put(offsetof(gyr_keys, strings), &strings[0]);
  uint64_t deleted = 0;
  (void)gyr_table_delete(w.table, b.as<gyr_keys>(), &deleted, err);
}

void column(World& w, Block& b, gyr_error* err) {
  int64_t ints[] = {1, 2}, values[2], offsets[3];
  uint8_t status[2], valid[2];
  char heap[16];
  gyr_keys k{sizeof k, GYR_DTYPE_INT64, 2, ints, nullptr};
  b.put(offsetof(gyr_table_column, name), "v");
  b.put(offsetof(gyr_table_column, values), &values[0]);
  b.put(offsetof(gyr_table_column, values_capacity), uint64_t(2));
  b.put(offsetof(gyr_table_column, offsets), &offsets[0]);
  b.put(offsetof(gyr_table_column, status), &status[0]);
  b.put(offsetof(gyr_table_column, heap), &heap[0]);
  b.put(offsetof(gyr_table_column, heap_capacity), uint64_t(16));
  b.put(offsetof(gyr_table_column, element_valid), &valid[0]);
  (void)gyr_table_get(w.table, &k, INT64_MAX, b.as<gyr_table_column>(), 1, err);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World world;
  if (size < 5) return 0;
  Block b(data + 1, size - 1);
  gyr_error err = GYR_ERROR_INIT;
  switch (data[0] % 9) {
    case 0:
      create_index(world, b, &err);
      break;
    case 1:
      search(world, b, &err);
      break;
    case 2:
      create_runtime(b, &err);
      break;
    case 3:
      keys(world, b, &err);
      break;
    case 4:
      column(world, b, &err);
      break;
    case 5:
      (void)gyr_index_get_info(world.index, b.as<gyr_index_info>(), &err);
      break;
    case 6:
      (void)gyr_table_get_info(world.table, b.as<gyr_table_info>(), &err);
      break;
    case 7:
      (void)gyr_runtime_get_info(world.runtime, b.as<gyr_runtime_info>(), &err);
      break;
    case 8:  // the error itself may be from other headers
      (void)gyr_index_create(world.runtime, nullptr, nullptr, b.as<gyr_error>());
      return 0;
  }
  if (err.code != GYR_OK) {
    must(*err.message != 0, "a failure says why");
    must(err.code != GYR_E_INTERNAL, "bad input is no internal error:", err.message);
  }
  return 0;
}
