// libgyr-redis.so against real servers from Debian: one on a unix socket, and a cluster of three on the loopback.
#include <gtest/gtest.h>
#include <gyr/gyr.h>
#include <gyr/redis_tier.h>

#include <cmath>
#include <cstring>

#include "plugins/redis/slots.h"
#include "tests/redis/server.h"

namespace gyr::test {
namespace {

constexpr uint32_t kDim = 8, kRowBytes = kDim * sizeof(float);

class TierHandle {
 public:
  explicit TierHandle(const std::string& addresses, bool cluster = false, uint64_t timeout_ms = 2000,
                      uint32_t batch = 0, uint32_t row_bytes = kRowBytes) {
    gyr_redis_options o{};
    o.struct_size = sizeof o;
    o.row_bytes = row_bytes;
    o.addresses = addresses.c_str();
    o.cluster = cluster;
    o.timeout_ns = timeout_ms * 1'000'000;
    o.batch = batch;
    gyr_error err = GYR_ERROR_INIT;
    EXPECT_EQ(gyr_redis_tier(&o, &tier, &err), GYR_OK) << err.message;
  }
  ~TierHandle() {
    if (tier.close) tier.close(tier.user);
  }
  TierHandle(const TierHandle&) = delete;
  gyr_cache_tier release() {
    gyr_cache_tier t = tier;
    tier.close = nullptr;
    return t;
  }

  gyr_status fetch(const std::vector<int64_t>& keys) {
    rows.assign(keys.size() * kDim, NAN);
    found.assign(keys.size(), 0);
    return tier.fetch(tier.user, keys.data(), keys.size(), rows.data(), found.data(), 0);
  }
  gyr_status put(const std::vector<int64_t>& keys, float add = 0) {
    std::vector<float> r;
    for (int64_t key : keys)
      for (uint32_t d = 0; d < kDim; d++) r.push_back(value(key, d) + add);
    return tier.put(tier.user, keys.data(), r.data(), keys.size());
  }
  gyr_status remove(const std::vector<int64_t>& keys) { return tier.remove(tier.user, keys.data(), keys.size()); }
  static float value(int64_t key, uint32_t d) { return float(key) + float(d) / 16; }
  void expect_rows(const std::vector<int64_t>& keys, float add = 0) {
    for (size_t i = 0; i < keys.size(); i++) {
      ASSERT_EQ(found[i], GYR_TIER_FOUND) << keys[i];
      for (uint32_t d = 0; d < kDim; d++) ASSERT_EQ(rows[i * kDim + d], value(keys[i], d) + add);
    }
  }

  gyr_cache_tier tier{};
  std::vector<float> rows;
  std::vector<uint8_t> found;
};

std::vector<int64_t> upto(int64_t n) {
  std::vector<int64_t> keys;
  for (int64_t k = 0; k < n; k++) keys.push_back(k * 977 - 500);
  return keys;
}

TEST(Redis, SlotsOfKeys) {
  EXPECT_EQ(gyr_redis::crc16("123456789"), 0x31c3);  // the specification's vector
  EXPECT_EQ(gyr_redis::slot_of("foo"), 12182u);
  EXPECT_EQ(gyr_redis::slot_of("{user1000}.following"), gyr_redis::slot_of("user1000"));
  EXPECT_EQ(gyr_redis::slot_of("foo{bar}{zap}"), gyr_redis::slot_of("bar"));
  EXPECT_EQ(gyr_redis::slot_of("foo{}{bar}"), gyr_redis::crc16("foo{}{bar}") % 16384u);
  EXPECT_EQ(gyr_redis::slot_of("foo{{bar}}zap"), gyr_redis::slot_of("{bar"));
}

TEST(Redis, OneServerOnASocket) {
  NEEDS_REDIS();
  RedisServer server;
  for (uint32_t batch : {0u, 1u, 7u}) {
    TierHandle t(server.address(), false, 2000, batch);
    auto keys = upto(2500 / (batch == 1 ? 20 : 1));
    ASSERT_EQ(t.fetch(keys), GYR_OK);
    EXPECT_EQ(t.found, std::vector<uint8_t>(keys.size(), GYR_TIER_ABSENT));
    ASSERT_EQ(t.put(keys), GYR_OK);
    ASSERT_EQ(t.fetch(keys), GYR_OK);
    t.expect_rows(keys);
    EXPECT_EQ(server.text({"STRLEN", "gyr:477"}), std::to_string(kRowBytes)) << "rows as they are, by key";
    ASSERT_EQ(t.remove(keys), GYR_OK);
    EXPECT_EQ(server.text({"DBSIZE"}), "0");
  }
}

TEST(Redis, SomethingElseUnderTheNameIsAnErrorOfThatRow) {
  NEEDS_REDIS();
  RedisServer server;
  TierHandle t(server.address());
  ASSERT_EQ(t.put({1, 2, 3}), GYR_OK);
  server.text({"SET", "gyr:2", "short"});
  server.text({"DEL", "gyr:3"});
  server.text({"LPUSH", "gyr:3", "x"});  // MGET answers nil to other types
  ASSERT_EQ(t.fetch({1, 2, 3}), GYR_OK);
  EXPECT_EQ(t.found, (std::vector<uint8_t>{GYR_TIER_FOUND, GYR_TIER_ERROR, GYR_TIER_ABSENT}));
}

TEST(Redis, PasswordsAndDatabases) {
  NEEDS_REDIS();
  RedisServer server;
  server.text({"CONFIG", "SET", "requirepass", "secret"});
  gyr_redis_options o{};
  o.struct_size = sizeof o;
  o.row_bytes = 4;
  std::string address = server.address();
  o.addresses = address.c_str();
  o.database = 3;
  o.prefix = "a:b";
  for (const char* password : {"secret", "wrong"}) {
    o.password = password;
    gyr_cache_tier t{};
    ASSERT_EQ(gyr_redis_tier(&o, &t, nullptr), GYR_OK);
    int64_t key = 1;
    EXPECT_EQ(t.put(t.user, &key, "abcd", 1), o.password == std::string("secret") ? GYR_OK : GYR_E_IO);
    t.close(t.user);
  }
}

TEST(Redis, ServersThatGoAndComeBack) {
  NEEDS_REDIS();
  RedisServer server;
  TierHandle t(server.address(), false, 1000);
  ASSERT_EQ(t.put({1, 2}), GYR_OK);
  server.text({"CLIENT", "KILL", "TYPE", "normal"});  // what an idle timeout does
  ASSERT_EQ(t.fetch({1, 2}), GYR_OK);
  t.expect_rows({1, 2});
  server.freeze(true);
  auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(t.fetch({1}), GYR_E_IO);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(1900)) << "the timeout is kept, and counts once";
  server.freeze(false);
  ASSERT_EQ(t.fetch({1, 2}), GYR_OK);
  t.expect_rows({1, 2});  // and no answer to an older question
  server.stop();
  EXPECT_EQ(t.fetch({1}), GYR_E_IO);
  EXPECT_EQ(t.put(upto(5000)), GYR_E_IO) << "and no SIGPIPE";
  server.start();
  ASSERT_EQ(t.fetch({1}), GYR_OK);
  EXPECT_EQ(t.found[0], GYR_TIER_ABSENT);
}

// The whole: a small cache over a server that fails in between.
TEST(Redis, BelowACache) {
  NEEDS_REDIS();
  RedisServer server;
  gyr_runtime* runtime = nullptr;
  ASSERT_EQ(gyr_runtime_create(nullptr, &runtime, nullptr), GYR_OK);
  gyr_cache_tier below = TierHandle(server.address(), false, 500).release();
  gyr_cache_tiers tiers{};
  tiers.struct_size = sizeof tiers;
  tiers.below = &below;
  tiers.max_rows = 100;
  tiers.failures = 2;
  tiers.retry_ns = 20'000'000;
  gyr_cache_options o{};
  o.struct_size = sizeof o;
  o.dim = kDim;
  o.tiers = &tiers;
  gyr_cache* cache = nullptr;
  gyr_error err = GYR_ERROR_INIT;
  ASSERT_EQ(gyr_cache_create(runtime, &o, &cache, &err), GYR_OK) << err.message;
  auto keys = upto(1000);
  std::vector<float> rows, out(keys.size() * kDim);
  std::vector<uint8_t> status(keys.size());
  for (int64_t key : keys)
    for (uint32_t d = 0; d < kDim; d++) rows.push_back(TierHandle::value(key, d));
  ASSERT_EQ(gyr_cache_put(cache, keys.data(), rows.data(), keys.size(), &err), GYR_OK) << err.message;
  EXPECT_EQ(server.text({"DBSIZE"}), "1000");
  ASSERT_EQ(gyr_cache_get(cache, keys.data(), keys.size(), out.data(), status.data(), &err), GYR_OK);
  EXPECT_EQ(out, rows);
  EXPECT_EQ(status, std::vector<uint8_t>(keys.size(), GYR_VALUE_PRESENT));
  gyr_cache_info info{};
  info.struct_size = sizeof info;
  ASSERT_EQ(gyr_cache_get_info(cache, &info, &err), GYR_OK);
  EXPECT_EQ(info.rows, 100u);

  server.stop();
  for (int i = 0; i < 3; i++)
    ASSERT_EQ(gyr_cache_get(cache, keys.data(), keys.size(), out.data(), status.data(), &err), GYR_OK);
  EXPECT_EQ(std::count(status.begin(), status.end(), GYR_VALUE_PRESENT), 100) << "what is in memory answers";
  EXPECT_EQ(std::count(status.begin(), status.end(), GYR_VALUE_ERROR), 900);
  EXPECT_EQ(gyr_cache_put(cache, keys.data(), rows.data(), 1, &err), GYR_E_CALLBACK);
  ASSERT_EQ(gyr_cache_get_info(cache, &info, &err), GYR_OK);
  EXPECT_EQ(info.tier_down, 1u);
  server.start();
  EXPECT_TRUE(eventually([&] {
    gyr_cache_get_info(cache, &info, &err);
    return !info.tier_down;
  }));
  ASSERT_EQ(gyr_cache_put(cache, keys.data(), rows.data(), keys.size(), &err), GYR_OK) << err.message;
  ASSERT_EQ(gyr_cache_get(cache, keys.data(), keys.size(), out.data(), status.data(), &err), GYR_OK);
  EXPECT_EQ(out, rows);
  gyr_cache_destroy(cache);
  gyr_runtime_destroy(runtime);
}

TEST(Redis, ClusterRedirects) {
  NEEDS_REDIS();
  RedisCluster cluster;
  ASSERT_TRUE(cluster.ok) << "the cluster did not come up";
  TierHandle t(cluster.nodes[1]->address() + ",127.0.0.1:1", true);
  auto keys = upto(3000);
  ASSERT_EQ(t.fetch(keys), GYR_OK);
  EXPECT_EQ(t.found, std::vector<uint8_t>(keys.size(), GYR_TIER_ABSENT));
  ASSERT_EQ(t.put(keys), GYR_OK);
  for (auto& n : cluster.nodes) EXPECT_GT(std::stoi(n->text({"DBSIZE"})), 800);
  ASSERT_EQ(t.fetch(keys), GYR_OK);
  t.expect_rows(keys);

  // A slot of the first node's on its way to the second: keys there answer ASK, keys not yet there do not.
  std::vector<int64_t> there, here;
  uint32_t slot = gyr_redis::kSlots;
  for (int64_t k = 1'000'000; there.size() + here.size() < 2; k++) {
    uint32_t s = gyr_redis::slot_of("gyr:" + std::to_string(k));
    if (slot == gyr_redis::kSlots && s < 5461) slot = s;
    if (s == slot) (there.empty() ? there : here).push_back(k);
  }
  std::vector<int64_t> both{there[0], here[0]};
  ASSERT_EQ(t.put(both), GYR_OK);
  std::string number = std::to_string(slot), moving = "gyr:" + std::to_string(there[0]);
  cluster.nodes[1]->text({"CLUSTER", "SETSLOT", number, "IMPORTING", cluster.id(0)});
  cluster.nodes[0]->text({"CLUSTER", "SETSLOT", number, "MIGRATING", cluster.id(1)});
  ASSERT_EQ(
      cluster.nodes[0]->text({"MIGRATE", "127.0.0.1", std::to_string(cluster.nodes[1]->port()), moving, "0", "2000"}),
      "OK");
  ASSERT_EQ(t.fetch(both), GYR_OK);
  t.expect_rows(both);
  int64_t fresh = 0;  // a new key of the slot is written where it goes
  for (int64_t k = here[0] + 1; !fresh; k++)
    if (gyr_redis::slot_of("gyr:" + std::to_string(k)) == slot) fresh = k;
  ASSERT_EQ(t.put({fresh}), GYR_OK);
  ASSERT_EQ(t.fetch({fresh}), GYR_OK);
  t.expect_rows({fresh});

  // The move is done: MOVED, from a client that has the old map.
  ASSERT_EQ(cluster.nodes[0]->text({"MIGRATE", "127.0.0.1", std::to_string(cluster.nodes[1]->port()),
                                    "gyr:" + std::to_string(here[0]), "0", "2000"}),
            "OK");
  for (size_t i : {1, 0, 2}) cluster.nodes[i]->text({"CLUSTER", "SETSLOT", number, "NODE", cluster.id(1)});
  ASSERT_EQ(t.fetch({there[0], here[0], fresh}), GYR_OK);
  t.expect_rows({there[0], here[0], fresh});
  ASSERT_EQ(t.remove(keys), GYR_OK);
  ASSERT_EQ(t.fetch(keys), GYR_OK);
  EXPECT_EQ(t.found, std::vector<uint8_t>(keys.size(), GYR_TIER_ABSENT));
}

// A node that is gone takes its rows with it; the others' are served.
TEST(Redis, ClusterWithoutANode) {
  NEEDS_REDIS();
  RedisCluster cluster;
  ASSERT_TRUE(cluster.ok) << "the cluster did not come up";
  for (auto& n : cluster.nodes) n->text({"CONFIG", "SET", "cluster-require-full-coverage", "no"});
  TierHandle t(cluster.nodes[0]->address(), true, 500);
  auto keys = upto(600);
  ASSERT_EQ(t.put(keys), GYR_OK);
  cluster.nodes[2]->stop();
  ASSERT_EQ(t.fetch(keys), GYR_OK);
  size_t served = 0;
  for (size_t i = 0; i < keys.size(); i++) {
    bool gone = gyr_redis::slot_of("gyr:" + std::to_string(keys[i])) >= 10922;
    EXPECT_EQ(t.found[i], gone ? GYR_TIER_ERROR : GYR_TIER_FOUND) << keys[i];
    served += !gone;
  }
  EXPECT_GT(served, 300u);
  EXPECT_EQ(t.put(keys), GYR_E_IO);
}

TEST(Redis, RefusesBadOptions) {
  auto code = [](auto change) {
    gyr_redis_options o{};
    o.struct_size = sizeof o;
    o.row_bytes = 4;
    o.addresses = "127.0.0.1:6379";
    change(&o);
    gyr_cache_tier t{};
    gyr_error err = GYR_ERROR_INIT;
    gyr_status s = gyr_redis_tier(&o, &t, &err);
    if (s == GYR_OK)
      t.close(t.user);
    else
      EXPECT_NE(err.message[0], 0);
    return s;
  };
  EXPECT_EQ(code([](auto*) {}), GYR_OK);
  EXPECT_EQ(code([](auto* o) {
              o->addresses = "a:1,[::1]:2";
              o->cluster = 1;
            }),
            GYR_OK);
  for (const char* bad : {"", "host", "host:", ":1", "host:65536", "host:x", "unix:", "unix:/", "a:1,b:2", "a:1,"})
    EXPECT_EQ(code([&](auto* o) { o->addresses = bad; }), GYR_E_INVALID_ARGUMENT) << bad;
  EXPECT_EQ(code([](auto* o) { o->addresses = nullptr; }), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(code([](auto* o) { o->row_bytes = 0; }), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(code([](auto* o) { o->struct_size = 8; }), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(code([](auto* o) { o->reserved = 1; }), GYR_E_OPTIONS_TOO_NEW);
  EXPECT_EQ(code([](auto* o) { o->cluster = 2; }), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(code([](auto* o) { o->cluster = 1, o->database = 1; }), GYR_E_INVALID_ARGUMENT);
  EXPECT_EQ(gyr_redis_tier(nullptr, nullptr, nullptr), GYR_E_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace gyr::test
