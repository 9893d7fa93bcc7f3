#include "laconic/export.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>

#include "formats/hf/model_name.h"
#include "formats/onnx/onnx.h"
#include "graph/graph.h"
#include "laconic/compare.h"
#include "laconic/error.h"
#include "laconic/quantize.h"

namespace laconic {

namespace {

constexpr std::array<std::string_view, 4> kFormats = {"float", "dynamic", "qdq", "qoperator"};

// Errors: kInvalidArgument for a format that the model cannot have.
void CheckFormat(const Model& model, const std::string& format) {
  const std::string method = MethodOf(model);
  if (!format.empty() && std::ranges::find(kFormats, format) == kFormats.end()) {
    Fail(ErrorCode::kInvalidArgument, "unknown format '", format,
         "'; known: ", fmt::format("{}", fmt::join(kFormats, ", ")));
  }
  const bool has_codes = method != "float" && method != "fp16" && method != "bf16";
  const bool has_static_codes = method == "static" || method == "mixed";
  if ((has_codes && format == "float") || (has_static_codes && format == "dynamic")) {
    Fail(ErrorCode::kInvalidArgument, NameOf(model), " is quantized (", method, "); export its original as ", format);
  }
  if ((format == "qdq" || format == "qoperator") && method != "static") {
    Fail(ErrorCode::kInvalidArgument, "format '", format, "' is for models quantized statically, and ", NameOf(model),
         " is ", method);
  }
}

// Errors: kInvalidArgument if `file` is the graph of the model's own directory, whose digest would then be another.
void CheckOutput(const Model& model, const std::filesystem::path& file) {
  std::error_code unknown;  // then there are no two such files
  const std::filesystem::path& own = model.info().path;
  if (!own.empty() && std::filesystem::equivalent(file, own / "model.onnx", unknown)) {
    Fail(ErrorCode::kInvalidArgument, "'", file.string(), "' is part of the model that is exported: name another file");
  }
}

}  // namespace

void ExportModel(const Model& model, const std::filesystem::path& file, const ExportOptions& options) {
  CheckFormat(model, options.format);
  CheckOutput(model, file);
  if (options.external_data && file == "-") {
    Fail(ErrorCode::kInvalidArgument,
         "external data lies in a file beside the model, and standard output has no place; name a file");
  }
  if (options.format == "dynamic" && MethodOf(model) != "dynamic") {
    ExportModel(QuantizeModel(model, {.method = "dynamic"}), file,
                {.opset = options.opset, .external_data = options.external_data, .force = options.force});
    return;
  }
  const bool integers = options.format == "qoperator";
  WriteOnnx(model.graph(), file,
            {.opset = options.opset,
             .quantization = integers ? OnnxQuantization::kQOperator : OnnxQuantization::kQdq,
             .external_data = options.external_data,
             .force = options.force,
             .metadata = {{"laconic.method", MethodOf(model)}}});
}

}  // namespace laconic
