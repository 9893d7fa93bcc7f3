// Any bytes as a JSON data set: refused with an Error, or read; and what was read is read again as an array. Then the
// rows' texts and labels.
#include <cstdint>
#include <cstdlib>

#include "data/row_decoder.h"
#include "laconic/error.h"
#include "memory_reader.h"

namespace laconic::data {
namespace {

void DecodeAll(std::vector<nlohmann::json> records, ProblemType problem) {
  DatasetOptions options;
  options.problem = problem;
  options.labels = {"a", "b", "1"};
  RowDecoder decoder(options);
  for (nlohmann::json& record : records) {
    const DatasetRow row = decoder.Decode(&record);
    for (const std::int64_t label : row.labels) {
      if (label < 0 || label > 2) {
        std::abort();
      }
    }
  }
}

void ReadAndDecode(const std::string& text) {
  std::vector<nlohmann::json> records;
  try {
    records = ReadAll(MakeJsonReader(FromMemory(text)).get());
  } catch (const Error&) {
    return;
  }
  if (ReadAll(MakeJsonReader(FromMemory(nlohmann::json(records).dump())).get()) != records) {
    std::abort();
  }
  for (const ProblemType problem : {ProblemType::kSingleLabel, ProblemType::kMultiLabel}) {
    try {
      DecodeAll(records, problem);
    } catch (const Error&) {
    }
  }
}

}  // namespace
}  // namespace laconic::data

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  laconic::data::ReadAndDecode(std::string(reinterpret_cast<const char*>(data), size));
  return 0;
}
