#include "quant/qparams.h"

#include <bit>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "laconic/error.h"
#include "quant/observer_golden.h"

namespace laconic::quant {
namespace {

// Scales and zero points by PyTorch's observers and ONNX Runtime's compute_scale_zp.
TEST(ParamsOf, EqualsPyTorchAndOnnxRuntimeBitForBit) {
  const nlohmann::json golden = testing::ObserverGolden("params");
  ASSERT_GE(golden.size(), 100U);
  for (const nlohmann::json& entry : golden) {
    const TensorQConfig config = testing::ConfigOf(entry.at("config"));
    const Range range = {testing::FloatOf(entry.at("min")), testing::FloatOf(entry.at("max"))};
    const RowParams params = ParamsOf(range, config);
    EXPECT_EQ(params.scale, testing::FloatOf(entry.at("scale"))) << entry;
    EXPECT_EQ(params.zero_point, entry.at("zero_point").get<std::int32_t>()) << entry;
  }
}

TEST(ParamsOf, RefusesWhatIsNoRange) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  constexpr float kMax = std::numeric_limits<float>::max();
  for (const Range range : {Range{0, kInf}, Range{-kInf, 0}, Range{NAN, 1}, Range{0, NAN}}) {
    EXPECT_THROW(ParamsOf(range, {}), Error);
  }
  EXPECT_TRUE(std::isfinite(ParamsOf({-kMax, kMax}, {}).scale)) << "ONNX Runtime divides in f64";
  EXPECT_THROW(ParamsOf({-kMax, kMax}, {.convention = Convention::kPyTorch}), Error);
}

}  // namespace
}  // namespace laconic::quant
