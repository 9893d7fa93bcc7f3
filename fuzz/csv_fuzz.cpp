// Any bytes as CSV and as TSV: refused with an Error, or read; and what was read, written with quotes, is read again.
#include <cstdint>
#include <cstdlib>

#include "laconic/error.h"
#include "memory_reader.h"

namespace laconic::data {
namespace {

std::string Quoted(const std::string& field) {
  std::string text = "\"";
  for (const char c : field) {
    text.append(c == '"' ? 2 : 1, c);
  }
  return text + '"';
}

// Precondition: at least one row.
std::string ToCsv(const std::vector<nlohmann::json>& rows) {
  std::string text;
  const auto add_line = [&](const auto& cell_of) {
    const char* separator = "";
    for (const auto& item : rows.front().items()) {
      text.append(separator).append(Quoted(cell_of(item.key())));
      separator = ",";
    }
    text.append("\r\n");
  };
  add_line([](const std::string& column) { return column; });
  for (const nlohmann::json& row : rows) {
    add_line([&](const std::string& column) { return row.at(column).get<std::string>(); });
  }
  return text;
}

void ReadAndReadAgain(const std::string& text, char delimiter) {
  std::vector<nlohmann::json> rows;
  try {
    rows = ReadAll(MakeCsvReader(FromMemory(text), delimiter).get());
  } catch (const Error&) {
    return;
  }
  if (!rows.empty() && ReadAll(MakeCsvReader(FromMemory(ToCsv(rows)), ',').get()) != rows) {
    std::abort();
  }
}

}  // namespace
}  // namespace laconic::data

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  laconic::data::ReadAndReadAgain(text, ',');
  laconic::data::ReadAndReadAgain(text, '\t');
  return 0;
}
