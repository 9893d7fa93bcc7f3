// ONNX files of other writers (tools/onnx/make_foreign_models.py) in a Session, all texts of a file in one batch,
// against ONNX Runtime's logits; and tables of codes as ONNX Runtime's quantizer writes them.
#include <algorithm>
#include <cmath>
#include <filesystem>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "graph/graph.h"
#include "laconic/model.h"
#include "laconic/session.h"

namespace laconic {
namespace {

// Float files: 1e-4, the order of sums. Others round to codes, or to half precision, at places where a last bit
// decides: one step moves a text's logits. 0.33 was seen (src/formats/hf/foreign_onnx_test.cpp has the reasons); labels
// hold.
float Tolerance(const std::string& file) {
  for (const char* part : {"dynamic_", "_qdq_", "_qoperator_", "_f16"}) {
    if (file.find(part) != std::string::npos) return 0.5F;
  }
  return 1e-4F;
}

TEST(ForeignFilesTest, GiveOnnxRuntimesLogits) {
  const std::filesystem::path directory = "tests/data/onnx";
  const nlohmann::json expected = ReadJsonFile(directory / "expected.json");
  for (const auto& [file, entry] : expected.at("models").items()) {
    SCOPED_TRACE(file);
    std::vector<Encoding> texts;
    for (const nlohmann::json& text : expected.at("texts").at(file.substr(0, file.find('.')))) {
      texts.push_back({text.at("input_ids").get<std::vector<std::int32_t>>(),
                       text.value("token_type_ids", std::vector<std::int32_t>())});
    }
    const Model model = Model::Load(directory / file);
    const auto compiled = CompiledModel::Compile(model);
    const auto width = static_cast<std::size_t>(compiled->output_width());
    EXPECT_EQ(model.info().labels.size(), width);
    const std::vector<float> got = Session(compiled, 2).Run(texts);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto logits = entry.at("logits")[i].get<std::vector<float>>();
      ASSERT_EQ(logits.size(), width);
      const std::span row(got.data() + i * width, width);
      for (std::size_t k = 0; k < width; ++k) {
        EXPECT_NEAR(row[k], logits[k], Tolerance(file)) << "text " << i;
      }
      EXPECT_EQ(std::ranges::max_element(row) - row.begin(), std::ranges::max_element(logits) - logits.begin());
    }
    const bool has_fused_codes =
        file.find("dynamic_") != std::string::npos || file.find("_linear") != std::string::npos;
    if (Tolerance(file) < 0.5F || has_fused_codes) {
      EXPECT_EQ(compiled->PlanText().find("The interpreter runs"), std::string::npos) << compiled->PlanText();
    }
  }
}

// ids -> the first token's row of a table of u8 codes with one scale 0.5 -> tanh.
Model TableOfCodes(std::uint8_t zero_point) {
  auto graph = std::make_shared<Graph>();
  const ValueId ids = graph->AddInput("input_ids", {DType::kS64, {"batch", "sequence"}});
  const std::vector<std::uint8_t> codes = {0, 1, 127, 128, 129, 255};
  const ValueId table = graph->AddNode(
      "DequantizeLinear", "table",
      {graph->AddInitializer("codes", Tensor::FromValues<std::uint8_t>({3, 2}, codes)),
       graph->AddInitializer("scale", Tensor::FromValues<float>({}, std::vector<float>{0.5F})),
       graph->AddInitializer("zero_point", Tensor::FromValues<std::uint8_t>({}, std::vector{zero_point}))});
  const ValueId first =
      graph->AddInitializer("first", Tensor::FromValues<std::int64_t>({}, std::vector<std::int64_t>{0}));
  const ValueId rows = graph->AddNode("Gather", "rows", {table, ids});
  const ValueId row = graph->AddNode("Gather", "row", {rows, first}, {{"axis", std::int64_t{1}}});
  graph->AddOutput(graph->AddNode("Tanh", "logits", {row}));
  return {ModelInfo(), std::move(graph), std::nullopt};
}

TEST(ForeignFilesTest, TablesOfCodesStayNarrowWhereTheyFit) {
  for (const auto& [zero_point, type] : {std::pair(128, "table s8"), std::pair(127, "table f32")}) {
    const auto compiled = CompiledModel::Compile(TableOfCodes(static_cast<std::uint8_t>(zero_point)));
    EXPECT_NE(compiled->PlanText().find(type), std::string::npos) << compiled->PlanText();
    const std::vector<float> got = Session(compiled, 1).Run(std::vector<Encoding>{{{2}, {}}, {{1, 0}, {}}, {{0}, {}}});
    const std::vector<int> codes = {129, 255, 127, 128, 0, 1};
    ASSERT_EQ(got.size(), codes.size());
    for (std::size_t i = 0; i < codes.size(); ++i) {
      EXPECT_NEAR(got[i], std::tanh(0.5F * static_cast<float>(codes[i] - zero_point)), 1e-6) << i;
    }
  }
}

}  // namespace
}  // namespace laconic
