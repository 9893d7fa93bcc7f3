// Any calibration table is read or refused with an Error; what is read prints as text that reads back alike, merges
// with another or is refused, and gives each of its values a range. Input: a table, optionally followed by a NUL byte
// and another.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <variant>

#include "laconic/error.h"
#include "laconic/qconfig.h"
#include "workflows/calibration_table.h"

namespace {

using laconic::CalibrationTable;

void CheckRanges(const CalibrationTable& table) {
  for (const auto& [name, value] : table.data().values) {
    for (const laconic::ObserverKind kind :
         {laconic::ObserverKind::kMinMax, laconic::ObserverKind::kPercentile, laconic::ObserverKind::kMse}) {
      laconic::TensorQConfig config = {.observer = laconic::ObserverConfig::Default(kind)};
      if (const auto* ordered = std::get_if<laconic::OrderedValue>(&value)) {
        config.observer = ordered->config;
        config.scheme = ordered->scheme;
      }
      const laconic::quant::QuantParams params = laconic::ParamsFrom(table, name, config);
      if (!(params.scale > 0) || !std::isfinite(params.scale)) {
        std::abort();
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = input.find('\0');
  try {
    const CalibrationTable table = CalibrationTable::Parse(input.substr(0, end));
    if (CalibrationTable::Parse(table.Print()).Print() != table.Print()) {
      std::abort();
    }
    CheckRanges(table);
    CalibrationTable::Merge({table, CalibrationTable::Parse(end == input.npos ? input : input.substr(end + 1))});
  } catch (const laconic::Error&) {  // a refusal is an answer
  }
  return 0;
}
