// A part of somebody's shared library, such as a module for Python: what it links must be position-independent.
#include <algorithm>
#include <cstddef>
#include <exception>
#include <vector>

#include "laconic/batcher.h"

// At most `size` logits of the text; returns how many the model gives, or -1.
extern "C" int Answer(const char* path, const char* text, float* logits, int size) try {
  const auto model = laconic::Model::Load(path);
  laconic::Batcher batcher(laconic::Session(laconic::CompiledModel::Compile(model), 1));
  const std::vector<float> answer = batcher.Run(model.tokenizer().Encode(text, 128));
  std::copy_n(answer.begin(), std::min<std::size_t>(answer.size(), size), logits);
  return static_cast<int>(answer.size());
} catch (const std::exception&) {
  return -1;
}
