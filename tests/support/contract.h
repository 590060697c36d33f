// What the headers say that each function may answer (tests/host/gen_api.py, kind `answers`).
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <gyr/gyr.h>

#include <cstring>
#include <string>

namespace gyr::test {
namespace contract {
#include "functions.h"
// after the names
#include "answers.h"
}  // namespace contract

inline void expect_in_contract(const std::string& function, gyr_status status) {
  EXPECT_TRUE(contract::may_answer(function.c_str(), status))
      << "the @return of " << function << " has no " << gyr_status_name(status);
}

}  // namespace gyr::test
