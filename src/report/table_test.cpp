#include "report/table.h"

#include <gtest/gtest.h>

#include "laconic/error.h"

namespace laconic {
namespace {

TEST(Table, NumbersGoRightAndTextLeft) {
  Table table({"model", "F1", "size, MB", "note"});
  table.AddRow({"base", "0.8894", "91.0", ""});
  table.AddRow({"র্যাব-int8", "-", "22.9", "2 layers kept"});
  table.AddRow({"c", "+1", "5 MB", "x"});
  EXPECT_EQ(table.ToString(),
            "model           F1  size, MB  note\n"
            "----------  ------  --------  -------------\n"
            "base        0.8894      91.0\n"
            "র্যাব-int8       -      22.9  2 layers kept\n"
            "c               +1      5 MB  x\n");
}

TEST(Table, RowsHaveACellForEachColumn) {
  Table table({"a", "b"});
  EXPECT_EQ(table.ToString(), "a  b\n-  -\n");
  EXPECT_THROW(table.AddRow({"1"}), Error);
}

}  // namespace
}  // namespace laconic
