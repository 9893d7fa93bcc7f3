// TensorProto -> Tensor.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "onnx-ml.pb.h"
#include "tensor/tensor.h"

namespace laconic::onnx_file {

class TensorReader {
 public:
  // `directory`: where external data may lie.
  explicit TensorReader(std::filesystem::path directory) : directory_(std::move(directory)) {}

  // External data becomes a view of its mapped file; what lies in the message (raw_data or a typed field) is copied.
  // Errors: kUnsupported for an element type; kInvalidFile for sizes that do not fit, or a path outside the directory.
  Tensor Read(const ::onnx::TensorProto& proto);

  // Those that were read.
  std::vector<std::filesystem::path> external_files() const;

 private:
  Tensor ReadExternal(const ::onnx::TensorProto& proto, DType dtype, Shape shape);
  const std::shared_ptr<const MappedFile>& Open(const std::string& location);

  std::filesystem::path directory_;
  std::map<std::string, std::shared_ptr<const MappedFile>> files_;  // each mapped once
};

}  // namespace laconic::onnx_file
