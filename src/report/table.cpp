#include "report/table.h"

#include <algorithm>
#include <utility>

#include "laconic/error.h"

namespace laconic {
namespace {

std::size_t Width(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

bool LooksLikeNumber(const std::string& text) {
  if (text.empty() || text == "-") {
    return true;
  }
  const char first = text[text[0] == '-' || text[0] == '+' ? 1 : 0];  // '\0' after a sign alone
  return first >= '0' && first <= '9';
}

}  // namespace

void Table::AddRow(std::vector<std::string> cells) {
  if (cells.size() != header_.size()) {
    Fail(ErrorCode::kInternal, "expected a row of ", header_.size(), " cells, got ", cells.size());
  }
  rows_.push_back(std::move(cells));
}

std::string Table::ToString() const {
  std::vector<std::size_t> widths;
  std::vector<bool> right;
  for (std::size_t column = 0; column < header_.size(); ++column) {
    widths.push_back(Width(header_[column]));
    for (const auto& row : rows_) {
      widths.back() = std::max(widths.back(), Width(row[column]));
    }
    right.push_back(!rows_.empty() && std::all_of(rows_.begin(), rows_.end(),
                                                  [&](const auto& row) { return LooksLikeNumber(row[column]); }));
  }

  std::string text;
  const auto add_line = [&](const std::vector<std::string>& cells) {
    for (std::size_t column = 0; column < cells.size(); ++column) {
      const std::string padding(widths[column] - Width(cells[column]), ' ');
      text.append(column == 0 ? "" : "  ");
      text.append(right[column] ? padding + cells[column] : cells[column] + padding);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    text.push_back('\n');
  };
  add_line(header_);
  std::vector<std::string> rule;
  rule.reserve(widths.size());
  for (const std::size_t width : widths) {
    rule.emplace_back(width, '-');
  }
  add_line(rule);
  for (const auto& row : rows_) {
    add_line(row);
  }
  return text;
}

}  // namespace laconic
