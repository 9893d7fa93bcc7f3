// config.json of a Hugging Face directory: labels and architecture, without a checkpoint.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "formats/hf/directory.h"
#include "laconic/error.h"
#include "models/models.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const bool expect_head : {false, true}) {
    try {
      const nlohmann::json config = laconic::ParseJson(text);
      const laconic::hf::LabelInfo labels = laconic::hf::ParseLabels(config);
      // One tensor, so that the builders get past the search for the embeddings.
      const laconic::TensorMap tensors = {{"embeddings.word_embeddings.weight",
                                           laconic::Tensor::FromValues<float>({2, 2}, std::vector<float>{1, 2, 3, 4})}};
      laconic::models::BuildModel(
          config, tensors, {.num_labels = static_cast<std::int64_t>(labels.labels.size()), .expect_head = expect_head});
    } catch (const laconic::Error&) {
    }
  }
  return 0;
}
