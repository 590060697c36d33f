// For tests that assert just what a configuration of tools/matrix.sh changes: they skip under it, saying so.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>

#define GYR_SKIP_UNDER(variable)                                  \
  if (const char* skip_value = std::getenv(variable); skip_value) \
  GTEST_SKIP() << "asserts what " << variable << "=" << skip_value << " changes"
