// Writing a model as an ONNX file.
#pragma once

#include <filesystem>
#include <string>

#include "laconic/model.h"

namespace laconic {

struct ExportOptions {
  // "float", "dynamic" (a float model is quantized on the way, with the defaults of QuantizeModel); of a model
  // quantized statically, "qdq" (QuantizeLinear, DequantizeLinear and MatMul of real numbers, which a runtime turns
  // into integers) or "qoperator" (MatMulInteger). Empty: as the model is; static ones as "qdq".
  std::string format;
  int opset = 17;
  bool external_data = false;  // tensors go to `<file>.data` beside the file, which may then be over 2 GB together
  bool force = false;
};

// Inputs input_ids, attention_mask and (if the model has them; may be left out by the caller) token_type_ids, s64
// [batch, sequence]; output logits, or features, f32 [batch, width]. Plain ONNX operators only.
// Errors: kInvalidArgument for an unknown format, a format that the model is too compressed for, an opset outside 14 …
// 23, a file that exists without `force`, or over 2 GB in one file; kIo; kResource.
void ExportModel(const Model& model, const std::filesystem::path& file, const ExportOptions& options = {});

}  // namespace laconic
