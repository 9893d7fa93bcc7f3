// Any bytes as an .onnx file: read, or refused with an Error. The graph's text form must then read back.
#include <cstdlib>
#include <string>

#include "checkpoint.h"
#include "formats/onnx/onnx.h"
#include "graph/text_form.h"
#include "laconic/error.h"

namespace {

// Apart from the reading: an Error here is a failure.
void CheckTextForm(const laconic::Graph& graph) {
  const std::string text = laconic::PrintGraph(graph);
  const auto find = [&](std::string_view name, laconic::DType /*dtype*/, const laconic::Shape& /*shape*/) {
    return *graph.FindInitializer(*graph.FindValue(name));
  };
  if (laconic::PrintGraph(laconic::ParseGraph(text, find)) != text) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const laconic::MemoryFile file({data, size});
  laconic::OnnxModel model;
  try {
    model = laconic::ReadOnnx(file.path());
  } catch (const laconic::Error&) {
    return 0;
  }
  CheckTextForm(model.graph);
  return 0;
}
