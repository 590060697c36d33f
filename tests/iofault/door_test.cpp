// src/io/file.cpp is the only door to the file system: what goes past it, no sweep of this folder sees. Libraries are
// opened by the dynamic loader (device/loader.cpp, device/nvml.cpp), which has no other door.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <string>

namespace {

namespace fs = std::filesystem;

TEST(Door, NothingElseTouchesFiles) {
  const std::regex touches(
      R"(#include <(fcntl|dirent|sys/stat|fstream|filesystem)\b|\b(fopen|freopen|opendir|mkstemp)\s*\(|std::rename\s*\()"
      R"(|(^|[^\w:>])::(open|openat|read|pread|write|pwrite|rename|link|linkat|unlink|stat|fstat|access|fsync)\s*\()");
  int files = 0, in_the_door = 0;
  for (const char* folder : {"src", "kernels"})
    for (auto& entry : fs::recursive_directory_iterator(std::string(GYR_SOURCE_DIR "/") + folder)) {
      std::string path = entry.path();
      if (!path.ends_with(".cpp") && !path.ends_with(".h")) continue;
      files++;
      bool door = path.ends_with("src/io/file.cpp");
      std::ifstream in(path);
      int number = 0;
      for (std::string line; std::getline(in, line);) {
        number++;
        line = line.substr(0, line.find("//"));
        if (!std::regex_search(line, touches)) continue;
        in_the_door += door;
        EXPECT_TRUE(door) << path << ":" << number << ": " << line << "\n  use io/file.h";
      }
    }
  EXPECT_GT(files, 100);
  EXPECT_GT(in_the_door, 8);  // the pattern finds what it looks for
}

}  // namespace
