// A plain-text table for terminals and logs.
#pragma once

#include <string>
#include <vector>

namespace laconic {

class Table {
 public:
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}

  // Errors: kInternal unless there is a cell for each column.
  void AddRow(std::vector<std::string> cells);

  // The header, a rule and the rows, a line each. A column whose cells are all numbers (a digit after any sign; "-" and
  // "" count as numbers) is aligned right, any other left. Widths count code points: combining marks and wide letters
  // are not looked into, so that columns after Bangla or Chinese text may be off.
  std::string ToString() const;

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace laconic
