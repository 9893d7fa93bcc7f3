// A model that was built to saturate is caught, and what is said of it is what happens.

#include "laconic/certify.h"

#include <gtest/gtest.h>

namespace laconic {
namespace {
TEST(CertifyTest, Placeholder) {}
}  // namespace
}  // namespace laconic
