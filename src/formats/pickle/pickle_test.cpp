// Against files that torch wrote (tools/models/make_format_goldens.py) and archives made here.
#include "formats/pickle/pickle.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/testing.h"
#include "formats/pickle/zip_for_test.h"

namespace laconic::pickle {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace std::string_literals;

fs::path Golden(const std::string& name) { return "tests/data/formats/" + name; }

TEST(PickleGoldenTest, EveryDType) {
  const TensorMap tensors = ReadFile(Golden("dtypes.bin"));
  ASSERT_EQ(tensors.size(), 10U);
  for (const auto& [name, tensor] : tensors) {
    EXPECT_EQ(tensor.shape(), (Shape{2, 2})) << name;
  }
  for (const char* name : {"float64", "float32", "float16", "bfloat16"}) {
    const Tensor floats = tensors.at(name).ToF32();
    EXPECT_THAT(floats.values<float>(), ElementsAre(0, 1, 2, 100)) << name;
  }
  EXPECT_EQ(tensors.at("float16").dtype(), DType::kF16);
  EXPECT_EQ(tensors.at("bfloat16").dtype(), DType::kBF16);
  EXPECT_THAT(tensors.at("int64").values<std::int64_t>(), ElementsAre(0, 1, 2, 100));
  EXPECT_THAT(tensors.at("int32").values<std::int32_t>(), ElementsAre(0, 1, 2, 100));
  EXPECT_THAT(tensors.at("int16").values<std::int16_t>(), ElementsAre(0, 1, 2, 100));
  EXPECT_THAT(tensors.at("int8").values<std::int8_t>(), ElementsAre(0, 1, 2, 100));
  EXPECT_THAT(tensors.at("uint8").values<std::uint8_t>(), ElementsAre(0, 1, 2, 100));
  EXPECT_THAT(tensors.at("bool").values<bool>(), ElementsAre(false, true, true, true));
}

TEST(PickleGoldenTest, ViewsShareTheirStorage) {
  const TensorMap tensors = ReadFile(Golden("views.bin"));
  ASSERT_EQ(tensors.size(), 7U);
  const Tensor& base = tensors.at("base");
  EXPECT_THAT(base.values<float>(), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
  EXPECT_EQ(tensors.at("row").data(), base.data() + 4 * sizeof(float));
  EXPECT_THAT(tensors.at("row").values<float>(), ElementsAre(4, 5, 6, 7));
  EXPECT_EQ(tensors.at("transposed").data(), base.data());
  EXPECT_EQ(tensors.at("transposed").shape(), (Shape{4, 3}));
  const Tensor transposed = tensors.at("transposed").Contiguous();
  EXPECT_THAT(transposed.values<float>(), ElementsAre(0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11));
  const Tensor column = tensors.at("column").Contiguous();
  EXPECT_THAT(column.values<float>(), ElementsAre(2, 6, 10));
  EXPECT_EQ(tensors.at("scalar").shape(), Shape{});
  EXPECT_THAT(tensors.at("scalar").values<std::int64_t>(), ElementsAre(7));
  EXPECT_EQ(tensors.at("empty").shape(), (Shape{0, 3}));
  EXPECT_THAT(tensors.at("parameter").values<float>(), ElementsAre(0.5F, -0.5F));
}

TEST(PickleGoldenTest, AStateDictInsideATrainingCheckpoint) {
  const TensorMap tensors = ReadFile(Golden("nested.bin"));
  ASSERT_EQ(tensors.size(), 4U);
  EXPECT_THAT(tensors.at("0.weight").values<float>(), ElementsAre(1, 1));
  EXPECT_THAT(tensors.at("0.bias").values<float>(), ElementsAre(2));
  EXPECT_THAT(tensors.at("1.weight").values<float>(), ElementsAre(3));
  EXPECT_THAT(tensors.at("1.bias").values<float>(), ElementsAre(4));
}

TEST(PickleGoldenTest, TheOldFormatIsRefusedWithAdvice) {
  EXPECT_THAT(ErrorOf([] { ReadFile(Golden("legacy.bin")); }),
              testing::AllOf(HasSubstr("unsupported"), HasSubstr("convert it with"), HasSubstr("legacy.bin")));
}

class PickleFileTest : public ::testing::Test {
 protected:
  fs::path Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(root_ / name, std::ios::binary) << bytes;
    return root_ / name;
  }
  // The error of a file with this content.
  std::string ErrorOfZip(const ZipContent& content) const {
    const fs::path path = Write("pytorch_model.bin", MakeZip(content));
    return ErrorOf([&] { ReadFile(path); });
  }
  const TemporaryDirectory directory_;
  const fs::path root_ = directory_.path();
};

// {"a": tensor([2]) of storage "0", which has 2 elements}
std::string Pickle() {
  return "\x80\x02}X\1\0\0\0actorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nShortStorage\nX\1\0\0\0"s
         "0X\3\0\0\0cpuK\2tQK\0K\2\x85K\1\x85\x89NtRs."s;
}

TEST_F(PickleFileTest, StoragesAreFoundWhereverTheyLie) {
  // One filler makes the storage aligned, the next not.
  for (const std::string filler : {"", "."}) {
    const fs::path path = Write("pytorch_model.bin", MakeZip({{"any/data.pkl", Pickle()},
                                                              {"any/byteorder", "little"},
                                                              {"any/filler", filler},
                                                              {"any/data/0", "\1\2\3\4"}}));
    EXPECT_THAT(FindCheckpoint(root_).value().tensors.at("a").values<std::int16_t>(), ElementsAre(0x0201, 0x0403));
    EXPECT_EQ(ReadFile(path).size(), 1U);
  }
}

TEST_F(PickleFileTest, ArchivesThatContradictThemselvesAreRefused) {
  EXPECT_EQ(ErrorOfZip({{"m/data.pkl", Pickle()}, {"m/data/0", "1234"}}), "no error");
  EXPECT_THAT(ErrorOfZip({{"m/data.pkl", Pickle()}}), HasSubstr("no storage 'm/data/0'"));
  EXPECT_THAT(ErrorOfZip({{"m/data.pkl", Pickle()}, {"n/data/0", "1234"}}), HasSubstr("no storage 'm/data/0'"));
  EXPECT_THAT(ErrorOfZip({{"m/data.pkl", Pickle()}, {"m/data/0", "123"}}),
              HasSubstr("2 elements of 2 bytes, got 3 bytes"));
  EXPECT_THAT(ErrorOfZip({{"m/data.pkl", Pickle()}, {"m/data/0", "123456"}}), HasSubstr("in storage 'm/data/0'"));
  EXPECT_THAT(ErrorOfZip({{"m/data.pkl", Pickle()}, {"m/data/0", "1234"}, {"m/byteorder", "big"}}),
              testing::AllOf(HasSubstr("unsupported"), HasSubstr("got 'big'")));
  EXPECT_THAT(ErrorOfZip({{"m/n/data.pkl", Pickle()}, {"m/n/data/0", "1234"}}), HasSubstr("no '*/data.pkl'"));
  EXPECT_THAT(ErrorOf([&] { ReadFile(Write("empty", "")); }), HasSubstr("cut off"));
  EXPECT_THAT(ErrorOf([&] { ReadFile(root_ / "none"); }), HasSubstr("not found"));
  const std::string whole = laconic::ReadFile(Golden("nested.bin"), 1 << 20);
  EXPECT_THAT(ErrorOf([&] { ReadFile(Write("short", whole.substr(0, whole.size() - 30))); }),
              testing::AllOf(HasSubstr("cut off"), HasSubstr("in file")));
}

TEST_F(PickleFileTest, AMaliciousPickleIsRefused) {
  EXPECT_THAT(ErrorOfZip({{"m/data.pkl",
                           "\x80\x02"
                           "cposix\nsystem\nX\4\0\0\0true\x85R."s}}),
              testing::AllOf(HasSubstr("refused to import 'posix.system'"), HasSubstr("pytorch_model.bin")));
}

TEST_F(PickleFileTest, ShardsAreJoined) {
  EXPECT_FALSE(FindCheckpoint(root_));
  Write("one.bin", MakeZip({{"m/data.pkl", Pickle()}, {"m/data/0", "\1\2\3\4"}}));
  Write("pytorch_model.bin.index.json", R"({"weight_map":{"a":"one.bin"}})");
  EXPECT_THAT(FindCheckpoint(root_).value().tensors.at("a").values<std::int16_t>(), ElementsAre(0x0201, 0x0403));
}

}  // namespace
}  // namespace laconic::pickle
