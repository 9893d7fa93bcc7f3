// Runs single nodes through the interpreter for tools/onnx/run_operator_cases.py:
//   laconic_run_operator_cases CASES.json DATA RESULTS.json RESULTS_DATA
//
// CASES.json: a list of {"op", "attributes": {name: number, text or integers}, "outputs": [present?, ...],
// "inputs": [null or {"dtype", "shape", "offset"}, ...]} with elements in the file DATA. RESULTS.json: a list of
// {"error"} or {"outputs": [null or {"dtype", "shape", "offset"}, ...]}.
#include <cstring>
#include <iostream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/json.h"
#include "interpreter/interpreter.h"
#include "laconic/error.h"

namespace laconic {
namespace {

using nlohmann::json;

constexpr std::int64_t kMaxFileBytes = std::int64_t{1} << 30;

Attribute ToAttribute(const json& value) {
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (value.is_number()) return value.get<float>();
  if (value.is_string()) return value.get<std::string>();
  return value.get<std::vector<std::int64_t>>();
}

ValueType ToType(const Tensor& tensor) { return {tensor.dtype(), {tensor.shape().begin(), tensor.shape().end()}}; }

class Runner {
 public:
  explicit Runner(const std::string& data) : data_(data) {}

  json Run(const json& node) {
    try {
      return {{"outputs", Compute(node)}};
    } catch (const std::exception& error) {
      return {{"error", error.what()}};
    }
  }

  const std::string& results() const { return results_; }

 private:
  json Compute(const json& node) {
    Graph graph;
    std::map<ValueId, Tensor> tensors;
    std::vector<ValueId> inputs;
    for (const json& input : node.at("inputs")) {
      inputs.push_back(kNoValue);
      if (!input.is_null()) {
        const Tensor tensor = Read(input);
        inputs.back() = graph.AddInput(fmt::format("input {}", inputs.size()), ToType(tensor));
        tensors[inputs.back()] = tensor;
      }
    }
    std::vector<std::string> names;
    for (const json& present : node.at("outputs")) {
      names.push_back(present.get<bool>() ? fmt::format("output {}", names.size()) : "");
    }
    Attributes attributes;
    for (const auto& [name, value] : node.at("attributes").items()) {
      attributes[name] = ToAttribute(value);
    }
    const std::vector<ValueId> outputs = graph.AddNode(node.at("op"), names, inputs, attributes);
    json written = json::array();
    for (const ValueId output : outputs) {
      written.push_back(output == kNoValue ? json() : Write(Interpret(graph, tensors, std::array{output})[0]));
    }
    return written;
  }

  Tensor Read(const json& input) const {
    const DType dtype = ParseDType(input.at("dtype").get<std::string>());
    const auto shape = input.at("shape").get<Shape>();
    return Tensor::Make(dtype, shape, [&](std::byte* bytes) {
      std::memcpy(bytes, data_.data() + input.at("offset").get<std::size_t>(),
                  static_cast<std::size_t>(NumElements(shape) * SizeOf(dtype)));
    });
  }

  json Write(const Tensor& tensor) {
    const Tensor flat = tensor.Contiguous();
    json written = {{"dtype", ToString(flat.dtype())}, {"shape", flat.shape()}, {"offset", results_.size()}};
    results_.append(reinterpret_cast<const char*>(flat.data()), static_cast<std::size_t>(flat.size_bytes()));
    return written;
  }

  const std::string& data_;
  std::string results_;
};

void RunAll(char** paths) {
  const std::string data = ReadFile(paths[1], kMaxFileBytes);
  Runner runner(data);
  json results = json::array();
  for (const json& node : ReadJsonFile(paths[0])) {
    results.push_back(runner.Run(node));
  }
  AtomicFile index(paths[2], true);
  index.Write(results.dump());
  index.Commit();
  AtomicFile elements(paths[3], true);
  elements.Write(runner.results());
  elements.Commit();
}

}  // namespace
}  // namespace laconic

int main(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: laconic_run_operator_cases CASES.json DATA RESULTS.json RESULTS_DATA\n";
    return 2;
  }
  try {
    laconic::RunAll(argv + 1);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return 0;
}
