#include "laconic/export.h"

#include "formats/onnx/onnx.h"
#include "graph/graph.h"
#include "laconic/error.h"
#include "laconic/quantize.h"

namespace laconic {

void ExportModel(const Model& model, const std::filesystem::path& file, const ExportOptions& options) {
  const std::string& method = model.info().method;
  const bool is_dynamic = method == "dynamic";
  if (!options.format.empty() && options.format != "float" && options.format != "dynamic") {
    Fail(ErrorCode::kInvalidArgument, "unknown format '", options.format, "'; known: float, dynamic");
  }
  if (options.format == "float" && is_dynamic) {
    Fail(ErrorCode::kInvalidArgument, "'", model.info().path.string(),
         "' is quantized (dynamic); export its original as float");
  }
  if (options.format == "dynamic" && !is_dynamic) {
    ExportModel(QuantizeModel(model, {.method = "dynamic"}), file,
                {.opset = options.opset, .external_data = options.external_data, .force = options.force});
    return;
  }
  WriteOnnx(model.graph(), file,
            {.opset = options.opset,
             .external_data = options.external_data,
             .force = options.force,
             .metadata = {{"laconic.method", method}}});
}

}  // namespace laconic
