// Every small mistake in a JSON text: each value replaced by values of other types and ranges, each key left out, each
// object given a key too many, each text cut short.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace gyr::test {

// Calls try_one(text, where) for every mutant; `where` is the JSON pointer of what changed.
inline void for_each_mutant(const std::string& text,
                            const std::function<void(const std::string&, const std::string&)>& try_one) {
  using Json = nlohmann::json;
  const Json whole = Json::parse(text);
  const std::vector<Json> values = {nullptr,
                                    true,
                                    -1,
                                    0,
                                    1.5,
                                    1ull << 63,
                                    "",
                                    "no such word",
                                    1e300,
                                    std::string(300, 'x'),
                                    std::string("nul\0", 4),
                                    Json::array(),
                                    Json::object(),
                                    Json::array({7}),
                                    Json::array({"a", "a"}),
                                    Json::array({Json::object()})};
  std::function<void(const Json::json_pointer&)> visit = [&](const Json::json_pointer& at) {
    for (const Json& v : values) {
      Json changed = whole;
      if (changed[at] == v) continue;
      changed[at] = v;
      try_one(changed.dump(), at.to_string());
    }
    const Json& here = whole[at];
    if (here.is_object()) {
      Json more = whole;
      more[at]["no such key"] = 1;
      try_one(more.dump(), at.to_string());
      for (auto& [key, value] : here.items()) {
        Json less = whole;
        less[at].erase(key);
        try_one(less.dump(), at.to_string());
        visit(at / key);
      }
    } else if (here.is_array()) {
      for (size_t i = 0; i < here.size(); i++) {
        Json twice = whole;
        twice[at].push_back(here[i]);
        try_one(twice.dump(), at.to_string());
        visit(at / i);
      }
    }
  };
  visit(Json::json_pointer());
  for (size_t size = 0; size < text.size(); size += 5) try_one(text.substr(0, size), "cut");
}

}  // namespace gyr::test
