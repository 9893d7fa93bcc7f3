// Small encoders with random weights, as src/models and src/passes build them, for the tests and tools/onnx.
#pragma once

#include <string>

#include "graph/graph.h"

namespace laconic::onnx_file {

enum class Weights { kFloat, kHalf, kBFloat16, kDynamic, kDynamicTensor, kStatic, kWeightOnly };

struct TestGraphOptions {
  Weights weights = Weights::kFloat;
  bool has_token_types = true;
  bool is_mean_pooled = false;           // otherwise [CLS], pooler with tanh
  std::string head_activation = "Gelu";  // between two linears of the head; or Relu
  std::string approximate = "none";      // of the layers' Gelu
  int num_layers = 2;
  bool has_int8_attention = false;
  std::int64_t embedding_block = 0;  // kDynamic: columns of a table that share a scale; 0: a row
  std::int64_t position_offset = 0;  // RoBERTa's positions begin behind that of the padding token
  bool has_type_row = false;         // one row for all tokens in place of token types
  DType rows_dtype = DType::kU8;     // kStatic: of the inputs' codes
  DType codes_dtype = DType::kS8;    // of linear layers' weights in 8 bits; kU8: with zero points
  bool per_channel = true;           // their scales; else one a weight
  bool is_smoothed = false;          // inputs that are quantized are multiplied by a factor a column first
  bool shares_layers = false;        // all layers have the first one's weights, as ALBERT's
};

// input_ids, attention_mask, token_type_ids? -> logits [batch, 3]; vocabulary 40, 24 positions, width 16, 2 heads.
Graph MakeTestGraph(const TestGraphOptions& options);

}  // namespace laconic::onnx_file
