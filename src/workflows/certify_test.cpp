// A model that was built to saturate is caught, and what is said of it is what happens.

#include "laconic/certify.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

#include "graph/graph.h"
#include "laconic/error.h"
#include "laconic/quantize.h"
#include "laconic/session.h"
#include "laconic/static_quantization.h"
#include "passes/quantized_layers.h"
#include "quant/overflow.h"

namespace laconic {
namespace {

const std::string kLayer = "bert.encoder.layer.0.output.dense";

NextRowFn Texts() {
  return [i = 0]() mutable -> std::optional<DatasetRow> {
    static constexpr const char* kTexts[] = {"du to lifa", "ra manedafi, gomu!", "", "tifa", "lifa du gomu ra ra tifa"};
    return i == 5 ? std::nullopt : std::optional(DatasetRow{kTexts[i++], std::nullopt, {}});
  };
}

std::vector<Encoding> Encodings(const Model& model) {
  std::vector<Encoding> encodings;
  const NextRowFn next = Texts();
  while (const auto row = next()) {
    encodings.push_back(model.tokenizer().Encode(row->text, 128));
  }
  return encodings;
}

std::vector<float> Answers(const Model& model, bool saturating) {
  return Session(CompiledModel::Compile(model, {.isa = "scalar", .saturating = saturating}), 1).Run(Encodings(model));
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// tiny_bert with the linear weights of which `is_edited` put through `edit`: (k, channel, value).
template <typename Edit>
Model WithWeights(const Model& model, Edit edit) {
  const Graph& graph = model.graph();
  Graph edited;
  GraphCopier copy(graph, &edited);
  for (const Node& node : graph.nodes()) {
    const Tensor* weight = node.op == "laconic.Linear" ? graph.FindInitializer(node.inputs[1]) : nullptr;
    if (weight != nullptr) {
      const std::string& name = graph.value(node.inputs[1]).name;
      const Tensor values = weight->Contiguous();
      std::vector<float> changed(values.values<float>().begin(), values.values<float>().end());
      const std::int64_t channels = weight->shape()[1];
      for (std::size_t i = 0; i < changed.size(); ++i) {
        const auto at = static_cast<std::int64_t>(i);
        changed[i] = edit(name, at / channels, at % channels, changed[i]);
      }
      copy.Map(node.inputs[1], edited.AddInitializer(name, Tensor::FromValues<float>(values.shape(), changed)));
    }
    copy.CopyNode(node);
  }
  copy.CopyOutputs();
  return {model.info(), std::make_shared<const Graph>(std::move(edited)), model.tokenizer()};
}

// No two neighbours along k have weights of one sign above half of their channel's largest: nothing can saturate.
Model Benign() {
  return WithWeights(Model::Load("tests/data/tiny_bert"),
                     [](const std::string&, std::int64_t k, std::int64_t, float w) {
                       return k == 0 ? std::copysign(1.0F, w) : std::clamp(w, -0.4F, 0.4F) * (k == 1 ? 0.0F : 1.0F);
                     });
}

// … but one layer, whose weights are all nearly alike.
Model Saturating() {
  return WithWeights(Benign(), [](const std::string& name, std::int64_t k, std::int64_t channel, float w) {
    const float sign = channel % 2 == 0 ? 1.0F : -1.0F;
    return name == kLayer + ".weight" ? sign * (1.0F - 0.001F * static_cast<float>((k * 7 + channel) % 13)) : w;
  });
}

const LayerCertificate& Find(const Certificate& certificate, const std::string& layer) {
  return *std::ranges::find(certificate.layers, layer, &LayerCertificate::layer);
}

FixedModel Fix(const Model& model, Overflow fix, bool has_texts) {
  const QuantizeFn quantize = [&](const std::set<std::string>& reduced) {
    return QuantizeModel(model, {.reduced_range = reduced});
  };
  return QuantizeWithoutOverflow(model, fix, quantize, has_texts ? TextsFn(Texts) : TextsFn());
}

TEST(CertifyTest, CatchesTheLayerThatSaturates) {
  const Model model = QuantizeModel(Saturating());
  const Certificate certificate = Certify(model, Texts());
  EXPECT_EQ(certificate.safety, Safety::kSaturates);
  EXPECT_EQ(certificate.num_texts, 5);
  for (const LayerCertificate& layer : certificate.layers) {
    EXPECT_EQ(layer.safety, layer.layer == kLayer ? Safety::kSaturates : Safety::kSafe) << layer.layer;
  }
  const LayerCertificate& layer = Find(certificate, kLayer);
  EXPECT_EQ(layer.num_pairs, 32 * 32);
  EXPECT_EQ(layer.num_risky, 32 * 32);
  ASSERT_TRUE(layer.first);
  EXPECT_EQ(layer.first->place.text, 1);
  EXPECT_GT(std::abs(layer.first->sum), 32767);
  EXPECT_FALSE(SameBits(Answers(model, true), Answers(model, false)));
  EXPECT_GT(certificate.change.max_abs_difference, 0);
  EXPECT_EQ(Certify(model, {}).safety, Safety::kMaySaturate);
}

TEST(CertifyTest, AutoFixesThatLayerAlone) {
  const Model unfixed = QuantizeModel(Saturating());
  for (const bool has_texts : {true, false}) {
    const FixedModel fixed = Fix(Saturating(), Overflow::kAuto, has_texts);
    EXPECT_EQ(fixed.reduced, std::set<std::string>{kLayer});
    EXPECT_EQ(Certify(fixed.model, {}).safety, Safety::kSafe);
    EXPECT_TRUE(SameBits(Answers(fixed.model, true), Answers(fixed.model, false)));
    const auto before = passes::FindQuantizedLinears(unfixed.graph());
    const auto after = passes::FindQuantizedLinears(fixed.model.graph());
    for (std::size_t i = 0; i < before.size(); ++i) {
      const Tensor a = before[i].codes->Contiguous();
      const Tensor b = after[i].codes->Contiguous();
      EXPECT_EQ(std::ranges::equal(a.values<std::int8_t>(), b.values<std::int8_t>()), before[i].name != kLayer);
    }
    EXPECT_NE(fixed.model.info().recipe.find(kLayer), std::string::npos);
    EXPECT_NE(fixed.model.info().recipe.find("reduced_range"), std::string::npos);
  }
  const FixedModel all = Fix(Saturating(), Overflow::kReduceRange, false);
  EXPECT_EQ(all.reduced.size(), 14U);
  EXPECT_EQ(Certify(all.model, {}).safety, Safety::kSafe);
}

TEST(CertifyTest, ALayerInFloatHasNoReducedRange) {
  const auto quantize = [](const std::set<std::string>& reduced) {
    return QuantizeModel(Saturating(), {.exclude = {"classifier"}, .reduced_range = reduced});
  };
  const FixedModel fixed = QuantizeWithoutOverflow(Saturating(), Overflow::kReduceRange, quantize, {});
  EXPECT_EQ(fixed.reduced.size(), 13U);
  EXPECT_EQ(fixed.model.info().recipe.find("classifier"), std::string::npos);
}

TEST(CertifyTest, EmbeddingsAloneSaturateNothing) {
  const auto quantize = [](const std::set<std::string>& reduced) {
    return QuantizeModel(Saturating(), {.kinds = {"embedding"}, .reduced_range = reduced});
  };
  EXPECT_TRUE(QuantizeWithoutOverflow(Saturating(), Overflow::kAuto, quantize, {}).reduced.empty());
}

// 127 * (127 + 127) fits s16: activations of 7 bits, as PyTorch's presets for x86 have them.
TEST(CertifyTest, CodesThatAQuantizerNeverGivesSaturateNothing) {
  PreparedModel prepared = Prepare(Saturating(), {.method = "static", .qconfig = PresetQConfig("x86")});
  Calibrate(&prepared, Texts());
  EXPECT_EQ(Certify(Convert(prepared), {}).safety, Safety::kSafe);
}

TEST(CertifyTest, LeavesABenignModelAlone) {
  const Model model = QuantizeModel(Benign());
  const Certificate certificate = Certify(model, Texts());
  EXPECT_EQ(certificate.safety, Safety::kSafe);
  EXPECT_TRUE(SameBits(Answers(model, true), Answers(model, false)));
  const FixedModel fixed = Fix(Benign(), Overflow::kAuto, true);
  EXPECT_TRUE(fixed.reduced.empty());
  EXPECT_EQ(fixed.model.info().recipe, model.info().recipe);
  ASSERT_EQ(fixed.model.graph().initializers().size(), model.graph().initializers().size());
  for (const auto& [id, tensor] : model.graph().initializers()) {
    const Tensor before = tensor.Contiguous();
    const Tensor after = fixed.model.graph().FindInitializer(id)->Contiguous();
    ASSERT_EQ(after.size_bytes(), before.size_bytes());
    EXPECT_EQ(std::memcmp(after.data(), before.data(), static_cast<std::size_t>(before.size_bytes())), 0);
  }
}

// Each sum of the definition, one by one.
TEST(CertifyTest, CountsWhatTheDefinitionCounts) {
  const Model model = QuantizeModel(Model::Load("tests/data/tiny_bert"));
  const Certificate certificate = Certify(model, Texts(), {.batch = 2, .threads = 2});
  const Certificate at_once = Certify(model, Texts(), {.batch = 5, .threads = 1});
  std::int64_t risky = 0;
  for (const passes::QuantizedLinear& layer : passes::FindQuantizedLinears(model.graph())) {
    const Tensor rows = layer.codes->Transposed().Contiguous();
    const std::span<const std::int8_t> codes = rows.values<std::int8_t>();
    std::int64_t expected = 0;
    for (std::size_t i = 0; i < codes.size(); i += 2) {  // k is even in this model
      expected += quant::CanSaturate(codes[i], codes[i + 1]) ? 1 : 0;
    }
    EXPECT_EQ(Find(certificate, layer.name).num_risky, expected) << layer.name;
    risky += expected;
    EXPECT_EQ(Find(certificate, layer.name).num_saturated, Find(at_once, layer.name).num_saturated);
    EXPECT_EQ(Find(certificate, layer.name).num_sums, Find(at_once, layer.name).num_sums);
  }
  EXPECT_GT(risky, 100);
  EXPECT_EQ(certificate.change.max_abs_difference, at_once.change.max_abs_difference);
}

TEST(CertifyTest, GptqKeepsWithinTheReducedRange) {
  const Model model = Model::Load("tests/data/tiny_bert");
  for (const char* method : {"static", "dynamic"}) {
    PreparedModel prepared = Prepare(model, {.method = method, .reduced_range = {kLayer}});
    Calibrate(&prepared, Texts());
    const Model converted = Convert(prepared);
    for (const passes::QuantizedLinear& layer : passes::FindQuantizedLinears(converted.graph())) {
      if (layer.name == kLayer) {
        const Tensor codes = layer.codes->Contiguous();
        EXPECT_LE(std::ranges::max(codes.values<std::int8_t>()), 64);
        EXPECT_GE(std::ranges::min(codes.values<std::int8_t>()), -64);
      }
    }
  }
}

TEST(CertifyTest, NeedsIntegers) {
  EXPECT_THROW(Certify(Model::Load("tests/data/tiny_bert"), {}), Error);
  EXPECT_THROW(Certify(QuantizeModel(Benign()), [] { return std::nullopt; }), Error);
}

TEST(CertifyTest, SaysWhatIsSlow) {
  const Certificate certificate = Certify(QuantizeModel(Benign()), {});
  ASSERT_EQ(certificate.slow.size(), 1U);
  EXPECT_EQ(certificate.slow[0].rule, "per-token");
  EXPECT_EQ(certificate.slow[0].count, 10);
}

}  // namespace
}  // namespace laconic
