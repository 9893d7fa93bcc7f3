// What a text's answer may not depend on: its neighbours, their lengths, threads.

#include "laconic/session.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <xmmintrin.h>

#include "base/testing.h"
#include "graph/graph.h"
#include "kernels/gemm_bf16/gemm_bf16.h"
#include "kernels/isa.h"
#include "laconic/error.h"
#include "laconic/model.h"
#include "passes/layer_selection.h"
#include "passes/quantize/int8.h"
#include "runtime/plan.h"
#include "runtime/testing.h"

namespace laconic {
namespace {

Model Quantized(const Model& model, bool int8_attention = false) {
  const std::vector<std::string> names = passes::SelectLayers(model.graph(), {});
  passes::Int8Options options;
  options.qconfig.int8_attention = int8_attention;
  auto graph =
      std::make_shared<const Graph>(passes::QuantizeInt8(model.graph(), {names.begin(), names.end()}, options));
  return {model.info(), std::move(graph), model.tokenizer()};
}

std::vector<float> RunWith(const std::shared_ptr<const CompiledModel>& model, const std::vector<Encoding>& texts,
                           std::size_t batch, int threads) {
  Session session(model, threads);
  std::vector<float> out;
  for (std::size_t i = 0; i < texts.size(); i += batch) {
    const std::vector<Encoding> part(texts.begin() + static_cast<std::ptrdiff_t>(i),
                                     texts.begin() + static_cast<std::ptrdiff_t>(std::min(texts.size(), i + batch)));
    const std::vector<float> rows = session.Run(part);
    out.insert(out.end(), rows.begin(), rows.end());
  }
  return out;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

bool HasBFloat16() { return kernels::ActiveIsa() >= kernels::Isa::kAvx512BF16; }

enum class Method : std::uint8_t { kFloat, kInt8, kInt8Attention };

class InvarianceTest : public ::testing::TestWithParam<std::tuple<const char*, Method, const char*>> {};

TEST_P(InvarianceTest, AnAnswerDependsOnItsTextOnly) {
  const auto [name, method, precision] = GetParam();
  if (std::string_view(precision) == "bf16" && !HasBFloat16()) {
    GTEST_SKIP() << "no bfloat16 at level " << kernels::ToString(kernels::ActiveIsa());
  }
  const Model loaded = Model::Load(std::string("tests/data/") + name);
  const auto model =
      CompiledModel::Compile(method == Method::kFloat ? loaded : Quantized(loaded, method == Method::kInt8Attention),
                             {.precision = precision});
  const std::vector<Encoding> texts = RandomTexts(41, 127, model->num_ids(), 7);
  const std::vector<float> alone = RunWith(model, texts, 1, 1);
  const std::pair<std::size_t, int> splits[] = {{1, 2}, {1, 8}, {2, 3}, {5, 8}, {41, 1}, {41, 2}, {41, 3}, {41, 8}};
  for (const auto& [batch, threads] : splits) {
    EXPECT_TRUE(SameBits(RunWith(model, texts, batch, threads), alone)) << batch << " texts, " << threads << " threads";
  }
  // Other neighbours, and each text at another place of its batch.
  std::vector<float> reversed = RunWith(model, {texts.rbegin(), texts.rend()}, 7, 8);
  const auto width = static_cast<std::ptrdiff_t>(model->output_width());
  std::ranges::reverse(reversed);
  for (auto row = reversed.begin(); row != reversed.end(); row += width) {
    std::reverse(row, row + width);
  }
  EXPECT_TRUE(SameBits(reversed, alone));
}

INSTANTIATE_TEST_SUITE_P(Models, InvarianceTest,
                         ::testing::Combine(::testing::Values("tiny_bert", "tiny_electra", "tiny_distilbert",
                                                              "tiny_xlm_roberta", "tiny_albert"),
                                            ::testing::Values(Method::kFloat, Method::kInt8, Method::kInt8Attention),
                                            ::testing::Values("f32", "bf16")));

double MeanDifference(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum += std::fabs(a[i] - b[i]);
  }
  return sum / static_cast<double>(a.size());
}

// INT8 on this level against the scalar definition. The integers of a layer are equal given the same input; the floats
// between layers differ by rounding (the kernels' stated bounds), which can move an activation across a rounding
// boundary: one step of 1/255 of its row's range. The bound: levels differ on average by less than a tenth of what
// quantization itself changes. (Measured: a fortieth, on models of only 32 columns, where a step weighs most.)
TEST(LevelsTest, Int8AgreesWithScalar) {
  for (const char* name : {"tiny_bert", "tiny_electra", "tiny_distilbert"}) {
    const Model original = Model::Load(std::string("tests/data/") + name);
    const Model model = Quantized(original);
    const auto here = CompiledModel::Compile(model);
    EXPECT_EQ(here->isa(), kernels::ToString(kernels::ActiveIsa()));
    const std::vector<Encoding> texts = RandomTexts(40, 127, here->num_ids(), 3);
    const std::vector<float> exact = RunWith(CompiledModel::Compile(original), texts, 8, 1);
    const std::vector<float> scalar = RunWith(CompiledModel::Compile(model, {.isa = "scalar"}), texts, 8, 1);
    const std::vector<float> got = RunWith(here, texts, 8, 1);
    std::printf("%s: mean difference from scalar %.2e, of INT8 from f32 %.2e\n", name, MeanDifference(got, scalar),
                MeanDifference(scalar, exact));
    EXPECT_LE(MeanDifference(got, scalar), MeanDifference(scalar, exact) / 10) << name;
  }
}

TEST(PrecisionTest, IsCheckedAndReported) {
  const Model model = Model::Load("tests/data/tiny_bert");
  EXPECT_EQ(CompiledModel::Compile(model)->precision(), "f32");
  EXPECT_EQ(CompiledModel::Compile(model, {.isa = "scalar", .precision = "auto"})->precision(), "f32");
  EXPECT_EQ(
      ErrorOf(ErrorCode::kUnsupported, [&] { CompiledModel::Compile(model, {.isa = "scalar", .precision = "bf16"}); }),
      "unsupported: precision bf16: expected the level avx512_bf16 or above, got scalar");
  EXPECT_EQ(ErrorOf(ErrorCode::kInvalidArgument, [&] { CompiledModel::Compile(model, {.precision = "fp8"}); }),
            "invalid argument: precision: expected f32, bf16 or auto, got 'fp8'");
}

TEST(PrecisionTest, AutoTakesWhatIsFaster) {
  const auto model = CompiledModel::Compile(Model::Load("tests/data/tiny_bert"), {.precision = "auto"});
  const bool rounds = kernels::BFloat16IsFaster(kernels::ActiveIsa());
  std::printf("auto: %s\n", rounds ? "bf16" : "f32");
  EXPECT_EQ(model->precision(), rounds ? "bf16" : "f32");
  for (const char* step : {"linear bf16", "attention bf16"}) {
    EXPECT_EQ(model->PlanText().find(step) != std::string::npos, rounds) << model->PlanText();
  }
}

// bfloat16 rounds an operand by at most 2^-9 of itself, INT8 by 2^-9 of its whole row's range, some 3 times as much for
// normal rows: the bound is half of what INT8 changes. (Measured: a fifth.)
TEST(PrecisionTest, BFloat16IsNearF32) {
  if (!HasBFloat16()) {
    GTEST_SKIP() << "no bfloat16 at level " << kernels::ToString(kernels::ActiveIsa());
  }
  for (const char* name : {"tiny_bert", "tiny_electra", "tiny_distilbert", "tiny_xlm_roberta", "tiny_albert"}) {
    const Model model = Model::Load(std::string("tests/data/") + name);
    const auto exact = CompiledModel::Compile(model);
    const auto rounded = CompiledModel::Compile(model, {.precision = "bf16"});
    EXPECT_EQ(rounded->precision(), "bf16");
    EXPECT_LT(rounded->memory_bytes(), exact->memory_bytes()) << name;
    const std::vector<Encoding> texts = RandomTexts(40, 127, exact->num_ids(), 3);
    const std::vector<float> want = RunWith(exact, texts, 8, 1);
    const std::vector<float> got = RunWith(rounded, texts, 8, 1);
    const double int8 = MeanDifference(RunWith(CompiledModel::Compile(Quantized(model)), texts, 8, 1), want);
    std::printf("%s: mean difference of bf16 from f32 %.2e, of INT8 %.2e\n", name, MeanDifference(got, want), int8);
    EXPECT_LT(MeanDifference(got, want), int8 / 2) << name;
    EXPECT_FALSE(SameBits(got, want)) << name;
  }
}

// What docs/numerics.md states of levels: those of 8 and 16 floats a vector round alike.
TEST(LevelsTest, VectorLevelsGiveTheSameBits) {
  for (const char* name : {"tiny_bert", "tiny_electra", "tiny_distilbert", "tiny_xlm_roberta", "tiny_albert"}) {
    const Model original = Model::Load(std::string("tests/data/") + name);
    for (const Model& model : {original, Quantized(original), Quantized(original, true)}) {
      const std::vector<Encoding> texts = RandomTexts(20, 127, 90, 11);
      std::vector<float> first;
      for (const kernels::Isa isa : {kernels::Isa::kAvx2, kernels::Isa::kAvxVnni, kernels::Isa::kAvx512Vnni,
                                     kernels::Isa::kAvx512BF16, kernels::Isa::kAmx}) {
        if (!kernels::IsaSupported(isa)) {
          continue;
        }
        const std::string level(kernels::ToString(isa));
        const std::vector<float> got = RunWith(CompiledModel::Compile(model, {.isa = level}), texts, 8, 2);
        first = first.empty() ? got : first;
        EXPECT_TRUE(SameBits(got, first)) << name << ", " << level;
      }
    }
  }
}

TEST(SessionTest, RefusesBadInput) {
  for (const char* name : {"tiny_bert", "tiny_albert"}) {
    const auto model = CompiledModel::Compile(Quantized(Model::Load(std::string("tests/data/") + name)));
    Session session(model, 2);
    const auto past = static_cast<std::int32_t>(model->num_ids());
    const auto too_long = static_cast<std::size_t>(model->max_length()) + 1;
    const std::string ids = "is outside 0 to " + std::to_string(past - 1);
    const auto refuses = [&](Encoding text, const std::string& says) {
      const std::vector<Encoding> batch = {{{0}, {}}, std::move(text), {{1}, {}}};
      const std::string message = ErrorOf(ErrorCode::kInvalidArgument, [&] { session.Run(batch); });
      EXPECT_THAT(message, testing::AllOf(testing::HasSubstr(says), testing::HasSubstr("text 1 of the batch")));
      EXPECT_EQ(session.Run(std::vector{Encoding{{0}, {1}}}).size(), static_cast<std::size_t>(model->output_width()))
          << "usable after an error";
    };
    refuses({}, "expected 1 to " + std::to_string(too_long - 1) + " tokens, got 0");
    refuses({{-1}, {}}, "token id -1 " + ids);
    refuses({{std::numeric_limits<std::int32_t>::min()}, {}}, ids);
    refuses({{0, past}, {}}, "token id " + std::to_string(past) + " " + ids);
    refuses({{std::numeric_limits<std::int32_t>::max()}, {}}, ids);
    refuses({{0}, {2}}, "2");
    refuses({{0}, {-1}}, "-1");
    refuses({{0, 1}, {0}}, "as many token types as tokens");
    refuses({std::vector<std::int32_t>(too_long), {}}, "tokens, got " + std::to_string(too_long));
    EXPECT_NO_THROW(session.Run(std::vector{Encoding{std::vector<std::int32_t>(too_long - 1), {}}}));
    EXPECT_TRUE(session.Run({}).empty());
  }
}

// Of a host that flushes subnormals to zero and rounds towards zero.
TEST(SessionTest, TheHostsFloatModeChangesNothing) {
  constexpr unsigned kHosts = 0x1F80 | 0x8040 | 0x6000;
  const Model model = Model::Load("tests/data/tiny_bert");
  const std::vector<Encoding> texts = RandomTexts(8, 40, 90, 5);
  const std::vector<float> expected = Session(CompiledModel::Compile(model), 1).Run(texts);
  const unsigned before = _mm_getcsr();
  _mm_setcsr(kHosts);
  const std::vector<float> got = Session(CompiledModel::Compile(model), 2).Run(texts);
  const unsigned after = _mm_getcsr();
  _mm_setcsr(before);
  EXPECT_EQ(after & ~0x3FU, kHosts);  // but for the flags of what happened
  EXPECT_EQ(got, expected);
}

TEST(SessionTest, RefusesOtherNumbersOfThreads) {
  const auto model = CompiledModel::Compile(Model::Load("tests/data/tiny_bert"));
  for (const int threads : {0, -1, std::numeric_limits<int>::min(), 1025, std::numeric_limits<int>::max()}) {
    EXPECT_EQ(ErrorOf(ErrorCode::kInvalidArgument, [&] { Session(model, threads); }),
              "invalid argument: threads: expected 1 to 1024, got " + std::to_string(threads));
  }
}

// [CLS] and [SEP], alone and as a pair of nothing.
TEST(SessionTest, AnEmptyTextIsAText) {
  for (const char* name : {"tiny_bert", "tiny_xlm_roberta"}) {
    const Model model = Model::Load(std::string("tests/data/") + name);
    Session session(CompiledModel::Compile(model), 2);
    for (const Encoding& text : {model.tokenizer().Encode("", 128), model.tokenizer().EncodePair("", "", 128)}) {
      EXPECT_GE(text.ids.size(), 2U);
      EXPECT_LE(text.ids.size(), 4U);
      for (const float logit : session.Run(std::vector{text})) {
        EXPECT_TRUE(std::isfinite(logit));
      }
    }
  }
}

// Its table has 130 rows, of which the first two are not for tokens.
TEST(SessionTest, PositionsBehindThePaddingLeaveFewerTokens) {
  const auto model = CompiledModel::Compile(Model::Load("tests/data/tiny_xlm_roberta"));
  EXPECT_EQ(model->max_length(), 128);
  Session session(model, 1);
  EXPECT_NO_THROW(session.Run(std::vector{Encoding{std::vector<std::int32_t>(128, 5), {}}}));
  EXPECT_THROW(session.Run(std::vector{Encoding{std::vector<std::int32_t>(129, 5), {}}}), Error);
}

TEST(CompileTest, TheLevelCanBeForcedAndAsked) {
  const Model model = Model::Load("tests/data/tiny_bert");
  EXPECT_EQ(CompiledModel::Compile(model, {.isa = "scalar"})->isa(), "scalar");
  EXPECT_THAT(ErrorOf(ErrorCode::kInvalidArgument, [&] { CompiledModel::Compile(model, {.isa = "sse9"}); }),
              testing::HasSubstr("unknown kernel level 'sse9', expected scalar, "));
}

TEST(CompileTest, ALevelThatIsLackingIsNamed) {
  const Model model = Model::Load("tests/data/tiny_bert");
  for (const kernels::Isa isa : {kernels::Isa::kAvx2, kernels::Isa::kAvxVnni, kernels::Isa::kAvx512Vnni,
                                 kernels::Isa::kAvx512BF16, kernels::Isa::kAmx}) {
    const std::string level(kernels::ToString(isa));
    if (kernels::IsaSupported(isa)) {
      EXPECT_EQ(CompiledModel::Compile(model, {.isa = level})->isa(), level);
      continue;
    }
    EXPECT_THAT(ErrorOf(ErrorCode::kUnsupported, [&] { CompiledModel::Compile(model, {.isa = level}); }),
                testing::HasSubstr("lacks the kernel level '" + level + "'; expected one of scalar"));
  }
}

TEST(PlanTest, FusesWhatItShould) {
  const Model model = Quantized(Model::Load("tests/data/tiny_bert"));
  const std::string plan = CompiledModel::Compile(model, {.isa = "scalar"})->PlanText();
  const std::string layer =
      "for each task\n"
      "  attention 4 heads of 8 bert.encoder.layer.0.attention.self.attention [scalar]\n"
      "for each chunk of tokens\n"
      "  quantize 32 columns [scalar]\n"
      "  linear u8s8 32 x 32 bert.encoder.layer.0.attention.output.dense [scalar]\n"
      "  add + layer norm + quantize bert.encoder.layer.0.attention.output.LayerNorm [scalar]\n";
  EXPECT_NE(plan.find(layer), std::string::npos) << plan;
  EXPECT_NE(plan.find("linear u8s8 32 x 96 bert.encoder.layer.0.attention.self.query + key + value [scalar]\n"),
            std::string::npos)
      << plan;
  EXPECT_NE(plan.find("linear u8s8 32 x 32 + tanh bert.pooler.dense [scalar]\n"), std::string::npos) << plan;
}

}  // namespace
}  // namespace laconic
