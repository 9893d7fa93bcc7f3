// An ONNX file that somebody else may have written, with what lies beside it.
#pragma once

#include <filesystem>

#include "laconic/model.h"

namespace laconic::hf {

// The ONNX model of a directory that has no checkpoint, as Optimum (model.onnx) and the Hugging Face hub
// (onnx/model.onnx) keep it; empty where there is none.
std::filesystem::path FindOnnxFile(const std::filesystem::path& directory);

// Labels and tokenizer come from the config.json and the tokenizer files beside it, or above it where its directory is
// called "onnx"; without a config.json there, labels are LABEL_0, … and there is no tokenizer.
// Errors: those of Model::Load; kInvalidFile where that config.json names another number of labels than the graph has.
Model LoadOnnxFile(const std::filesystem::path& file);

}  // namespace laconic::hf
