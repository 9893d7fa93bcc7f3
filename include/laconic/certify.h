// Whether a quantized model's integers are safe on x86 without VNNI, told without such a CPU, and what will be slow.
// docs/numerics.md, "Saturation".
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "laconic/dataset.h"
#include "laconic/diff.h"
#include "laconic/evaluate.h"
#include "laconic/metrics.h"
#include "laconic/model.h"
#include "laconic/qconfig.h"

namespace laconic {

enum class Safety : std::uint8_t {
  kSafe,         // no activations can saturate a sum
  kSafeOnData,   // some could, those of the data do not
  kMaySaturate,  // some could; there was no data
  kSaturates,    // those of the data do
};

// "yes", "on this data", "not known without data", "no".
std::string_view ToString(Safety safety) noexcept;

// A pair of neighbours along k whose sum saturates.
struct SaturationExample {
  ValuePlace place;
  std::int64_t channel = 0;  // output of the layer
  std::int64_t k = 0;        // inputs k and k + 1
  std::int64_t sum = 0;      // of both products, exact
};

struct LayerCertificate {
  std::string layer;
  bool is_widened = false;     // weights in u8: ONNX Runtime widens before it multiplies, nothing to saturate
  std::int64_t num_pairs = 0;  // of weights: ceil(k / 2) * n
  std::int64_t num_risky = 0;  // that the worst activations (0 or 255 each) saturate
  std::int64_t num_sums = 0;   // on the data: rows times pairs
  std::int64_t num_saturated = 0;
  std::optional<SaturationExample> first;
  Safety safety = Safety::kSafe;
};

// Something that runs slower elsewhere than it could.
struct SlowPattern {
  std::string rule;
  std::string node;  // the first that has it
  std::int64_t count = 0;
  std::string reason;
};

struct Certificate {
  Safety safety = Safety::kSafe;  // the worst layer's
  std::vector<LayerCertificate> layers;
  std::int64_t num_not_checked = 0;  // integer products that are not read as linear layers
  std::vector<SlowPattern> slow;
  std::int64_t num_texts = 0;  // 0: no data
  std::int64_t num_truncated = 0;
  LogitComparison change;  // of the answers, computed with saturating sums, against the exact ones
};

// `next` may be empty: then the worst case alone is looked at, and the model need not bring a tokenizer.
// Errors: kInvalidArgument for a model without quantized linear layers, or no text; those of the reader and the
// session.
Certificate Certify(const Model& model, const NextRowFn& next, const RunOptions& options = {});

// Makes a quantized model whose `reduced` layers have the reduced range; called again with more of them.
using QuantizeFn = std::function<Model(const std::set<std::string>& reduced)>;
// Texts from the first on; empty: none.
using TextsFn = std::function<NextRowFn()>;

struct FixedModel {
  Model model;
  std::set<std::string> reduced;
};

// The quantized `model` with as little reduced range as `fix` asks for. kAuto: layers that saturate on the texts, until
// none does (a layer that was fixed changes what the next ones see); without texts, those that could.
// Errors: those of `quantize` and Certify.
FixedModel QuantizeWithoutOverflow(const Model& model, Overflow fix, const QuantizeFn& quantize, const TextsFn& texts,
                                   const RunOptions& options = {});

}  // namespace laconic
