// Runs ONNX models through the reader and the interpreter, for tools/onnx/run_operator_cases.py:
//   laconic_run_operator_cases CASES.json DATA RESULTS.json RESULTS_DATA
//   laconic_run_operator_cases --list        the operators of the graph, one a line
//
// CASES.json: a list of {"model": file, "inputs": {name: {"dtype", "shape", "offset"}}} with elements in the file DATA.
// RESULTS.json: a list of {"error", "code"} or {"outputs": {name: {"dtype", "shape", "offset"}}}.
#include <cstring>
#include <iostream>
#include <optional>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/json.h"
#include "formats/onnx/onnx.h"
#include "graph/ops.h"
#include "interpreter/interpreter.h"
#include "laconic/error.h"

namespace laconic {
namespace {

using nlohmann::json;

constexpr std::int64_t kMaxFileBytes = std::int64_t{1} << 30;

class Runner {
 public:
  explicit Runner(const std::string& data) : data_(data) {}

  json Run(const json& test) {
    try {
      return {{"outputs", Compute(test)}};
    } catch (const Error& error) {
      return {{"error", error.what()}, {"code", ToString(error.code())}};
    }
  }

  const std::string& results() const { return results_; }

 private:
  json Compute(const json& test) {
    const Graph graph = ReadOnnx(test.at("model").get<std::string>()).graph;
    std::map<ValueId, Tensor> inputs;
    for (const auto& [name, input] : test.at("inputs").items()) {
      if (const std::optional<ValueId> id = graph.FindValue(name)) {
        inputs[*id] = Read(input);
      }
    }
    const std::vector<Tensor> results = Interpret(graph, inputs);
    json written;
    for (std::size_t i = 0; i < results.size(); ++i) {
      written[graph.value(graph.outputs()[i]).name] = Write(results[i]);
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
  for (const json& test : ReadJsonFile(paths[0])) {
    results.push_back(runner.Run(test));
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
  if (argc == 2 && argv[1] == std::string_view("--list")) {
    for (const std::string_view op : laconic::OpNames()) {
      std::cout << op << "\n";
    }
    return 0;
  }
  if (argc != 5) {
    std::cerr << "usage: laconic_run_operator_cases --list | CASES.json DATA RESULTS.json RESULTS_DATA\n";
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
