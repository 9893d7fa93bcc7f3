// Runs a model on token ids, for tools/onnx/compare_foreign.py:
//   laconic_run_encodings MODEL ENCODINGS.json LOGITS
//
// ENCODINGS.json: a list of {"input_ids", "token_type_ids"}, the latter optional. LOGITS: f32, a row a text. Prints
// what the session says of its plan.
#include <iostream>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/json.h"
#include "laconic/model.h"
#include "laconic/session.h"

namespace laconic {
namespace {

constexpr std::size_t kBatch = 64;

void RunEncodings(char** paths) {
  const auto compiled = CompiledModel::Compile(Model::Load(paths[1]));
  std::vector<Encoding> texts;
  for (const nlohmann::json& text : ReadJsonFile(paths[2])) {
    texts.push_back({text.at("input_ids").get<std::vector<std::int32_t>>(),
                     text.value("token_type_ids", std::vector<std::int32_t>())});
  }
  Session session(compiled, 2);
  AtomicFile file(paths[3], true);
  for (std::size_t first = 0; first < texts.size(); first += kBatch) {
    const std::span batch = std::span(texts).subspan(first, std::min(kBatch, texts.size() - first));
    const std::vector<float> logits = session.Run(batch);
    file.Write({reinterpret_cast<const char*>(logits.data()), logits.size() * sizeof(float)});
  }
  file.Commit();
  std::cout << compiled->PlanText();
}

}  // namespace
}  // namespace laconic

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: laconic_run_encodings MODEL ENCODINGS.json LOGITS\n";
    return 2;
  }
  try {
    laconic::RunEncodings(argv);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
