// Observers as PyTorch and ONNX Runtime have them, whose range depends on which values come in which batch and on the
// batches' order. Within a batch order does not matter, so a batch need not be held: it is run once for its extremes
// and, where an observer counts, a second time for the counts.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "laconic/qconfig.h"
#include "quant/qparams.h"

namespace laconic::quant {

// Exact extremes of a batch; merges in any order.
struct BatchExtremes {
  float min = 0, max = 0;          // of the values
  float abs_min = 0, abs_max = 0;  // of the magnitudes
  std::int64_t count = 0;

  void Add(std::span<const float> values);
  void Merge(const BatchExtremes& other);
};

// Where a batch's values are counted. Values outside of all bins are not.
struct Binning {
  std::vector<float> edges;  // ascending; bin i holds edges[i] <= x < edges[i + 1], the last its upper edge too
  bool magnitudes = false;   // counts |x|
  bool by_product = false;   // finds the bin as torch.histc: (x - first) * bins / (last - first), in f32

  std::size_t num_bins() const noexcept { return edges.size() - 1; }
  void Count(std::span<const float> values, std::span<std::int64_t> counts) const;
};

class OrderedObserver {
 public:
  virtual ~OrderedObserver() = default;

  // How a batch with these extremes is to be counted; nothing: it is not. Errors: kUnsupported for a histogram that
  // would outgrow 2^20 bins.
  virtual std::optional<Binning> BinningFor(const BatchExtremes& batch) const = 0;
  // `counts` as by BinningFor(batch).
  virtual void Update(const BatchExtremes& batch, std::span<const std::int64_t> counts) = 0;
  // Errors: kInvalidArgument before any batch.
  virtual Range FindRange() const = 0;

  // Both runs over a batch that is held. An empty batch is passed over.
  void AddBatch(std::span<const float> values);

  // The state, exact.
  virtual nlohmann::ordered_json ToJson() const = 0;
  // Errors: kInvalidFile for what ToJson cannot have written.
  virtual void Load(const nlohmann::ordered_json& json) = 0;
};

// Errors: kInvalidArgument for a kind that does not depend on order.
std::unique_ptr<OrderedObserver> MakeOrderedObserver(const ObserverConfig& config, Scheme scheme);

// The makers of the kinds.
std::unique_ptr<OrderedObserver> MakeMovingAverage(double averaging_constant);
std::unique_ptr<OrderedObserver> MakeTorchHistogram(std::int64_t num_bins);
std::unique_ptr<OrderedObserver> MakeOrtEntropy(std::int64_t num_bins, std::int64_t num_levels);
std::unique_ptr<OrderedObserver> MakeOrtPercentile(std::int64_t num_bins, double percentile, bool symmetric);

}  // namespace laconic::quant
