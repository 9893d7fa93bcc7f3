// Calibration: what the inputs of a model's linear layers look like on some texts, gathered once and kept in a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "laconic/model.h"
#include "laconic/predict.h"
#include "laconic/qconfig.h"

namespace laconic {

// What was observed of each value that a linear layer reads. Immutable and cheap to copy.
class CalibrationTable {
 public:
  struct Data;  // src/workflows/calibration_table.h
  explicit CalibrationTable(std::shared_ptr<const Data> data) : data_(std::move(data)) {}

  // Errors: kInvalidFile, also for a table of a calibration that was interrupted; of Load those of ReadFile, too.
  static CalibrationTable Load(const std::filesystem::path& path);
  static CalibrationTable Parse(std::string_view text);
  std::string Print() const;  // JSON; Parse(Print()) prints the same

  // The table of all texts of `tables`, whatever their order. All shards of a data set give what one pass gives, byte
  // for byte. Errors: kInvalidArgument for no table, tables of other models, lengths or layers, texts that are in two
  // of them, and observers that depend on order.
  static CalibrationTable Merge(const std::vector<CalibrationTable>& tables);

  std::int64_t num_texts() const noexcept;
  std::int64_t num_elements() const noexcept;    // of all observed values, on all texts; 0 where order matters
  std::vector<std::string> value_names() const;  // as in the model's graph
  const Data& data() const noexcept { return *data_; }

 private:
  std::shared_ptr<const Data> data_;
};

struct CalibrateOptions {
  QConfig qconfig;  // which observers watch the layers' inputs; layers that it leaves in float are not watched
  std::vector<std::string> include;  // layers, as in QuantizeOptions
  std::vector<std::string> exclude;
  RunOptions run;
  // Of the texts those numbered shard, shard + num_shards, ...
  std::int64_t shard = 0;
  std::int64_t num_shards = 1;
  // Where an interrupted calibration is kept, every half a minute and when cancelled (but within a text, as a model may
  // be that runs op by op), and gone on with when run again. It stays at the end too: the caller removes it once the
  // table is safe. Empty: nowhere.
  std::filesystem::path checkpoint;
};

// Runs the texts through the float model. Memory grows with the number of layers, not of texts. With minmax,
// percentile, entropy and mse the table depends on which texts there are and on nothing else; with the other observers
// on their order and on `run.batch` too. Errors: as QuantizeModel's for layers; kInvalidArgument for no text, an
// activation that is not finite (naming value and text), a pattern of the QConfig that matches no layer, an input whose
// layers want it observed differently, a shard of an observer that depends on order, a checkpoint of something else;
// those of the texts' source; kCancelled.
CalibrationTable MakeCalibrationTable(const Model& model, const NextRowFn& next, const CalibrateOptions& options = {});

}  // namespace laconic
