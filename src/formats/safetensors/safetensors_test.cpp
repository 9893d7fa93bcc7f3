#include "formats/safetensors/safetensors.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/mapped_file.h"
#include "base/testing.h"

namespace laconic::safetensors {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string File(const std::string& header, std::size_t data_bytes) {
  std::string file;
  for (std::size_t i = 0; i < 8; ++i) {
    file += static_cast<char>(header.size() >> (8 * i));
  }
  file += header;
  for (std::size_t i = 0; i < data_bytes; ++i) {
    file += static_cast<char>(i + 1);
  }
  return file;
}

Header Parse(const std::string& file) { return ParseHeader(std::as_bytes(std::span(file.data(), file.size()))); }

std::string ParseError(const std::string& header, std::size_t data_bytes) {
  return ErrorOf([&] { Parse(File(header, data_bytes)); });
}

TEST(SafetensorsHeaderTest, TensorsComeInTheOrderOfTheirBytes) {
  const std::string header = R"({"b":{"dtype":"F16","shape":[2,3],"data_offsets":[8,20]},)"
                             R"("__metadata__":{"format":"pt"},"a":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
                             R"("empty":{"dtype":"F32","shape":[0,4],"data_offsets":[8,8]}}  )";
  const Header parsed = Parse(File(header, 20));
  ASSERT_EQ(parsed.tensors.size(), 3U);
  const auto data = static_cast<std::int64_t>(8 + header.size());
  EXPECT_EQ(parsed.tensors[0].name, "a");
  EXPECT_EQ(parsed.tensors[0].shape, Shape{});
  EXPECT_EQ(parsed.tensors[0].offset_bytes, data);
  EXPECT_EQ(parsed.tensors[1].name, "empty");
  EXPECT_EQ(parsed.tensors[2].name, "b");
  EXPECT_EQ(parsed.tensors[2].dtype, DType::kF16);
  EXPECT_EQ(parsed.tensors[2].shape, (Shape{2, 3}));
  EXPECT_EQ(parsed.tensors[2].offset_bytes, data + 8);
  EXPECT_EQ(parsed.metadata.at("format"), "pt");
}

TEST(SafetensorsHeaderTest, LengthsOutsideTheFileAreRefused) {
  const std::string good = File("{}", 0);
  EXPECT_EQ(ErrorOf([&] { Parse(good); }), "no error");
  EXPECT_THAT(ErrorOf([&] { Parse(good.substr(0, 7)); }), HasSubstr("expected at least 8 bytes, got 7"));
  EXPECT_THAT(ErrorOf([&] { Parse(good.substr(0, 9)); }), HasSubstr("the header of 2 bytes ends past the file's 9"));
  std::string huge = good;
  huge[7] = 0x10;  // 2^60
  EXPECT_THAT(ErrorOf([&] { Parse(huge); }), HasSubstr("at most 100000000 bytes, got 1152921504606846978"));
}

TEST(SafetensorsHeaderTest, TextThatIsNoHeaderIsRefused) {
  EXPECT_THAT(ParseError("{", 0), HasSubstr("malformed JSON"));
  EXPECT_THAT(ParseError("[]", 0), HasSubstr("expected the header to be an object, got array"));
  EXPECT_THAT(ParseError("{\"a\xff\":{}}", 0), HasSubstr("UTF-8"));
  EXPECT_THAT(ParseError(R"({"a":1})", 0), HasSubstr("expected an object, got number"));
  EXPECT_THAT(ParseError(R"({"a":{"shape":[[1]]}})", 0), HasSubstr("nests deeper"));
  EXPECT_THAT(ParseError(std::string(1'000'000, '['), 0), HasSubstr("nests deeper"));
  EXPECT_THAT(ParseError(R"({"__metadata__":{"format":1}})", 0), HasSubstr("expected a string for 'format'"));
  EXPECT_THAT(ParseError(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                         R"("a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                         2),
              HasSubstr("two tensors have the same name"));
}

TEST(SafetensorsHeaderTest, TensorsThatContradictThemselvesAreRefused) {
  EXPECT_THAT(ParseError(R"({"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}})", 4),
              testing::AllOf(HasSubstr("unsupported"), HasSubstr("got 'F99'"), HasSubstr("in tensor 'a'")));
  EXPECT_THAT(ParseError(R"({"a":{"shape":[1],"data_offsets":[0,4]}})", 4), HasSubstr("expected a string 'dtype'"));
  EXPECT_THAT(ParseError(R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4), HasSubstr("expected an array 'shape'"));
  EXPECT_THAT(ParseError(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4),
              HasSubstr("integers from 0"));
  EXPECT_THAT(ParseError(R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", 4),
              HasSubstr("integers from 0"));
  EXPECT_THAT(ParseError(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4]}})", 4), HasSubstr("expected 2"));
  EXPECT_THAT(ParseError(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4), HasSubstr("end before"));
  EXPECT_THAT(ParseError(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4), HasSubstr("2 elements of 4"));
  EXPECT_THAT(ParseError(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,5]}})", 5), HasSubstr("1 elements of 4"));
  // 2^62 elements of 4 bytes are 0 bytes modulo 2^64.
  EXPECT_THAT(ParseError(R"({"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]}})", 0),
              HasSubstr("too many elements"));
  EXPECT_THAT(ParseError(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0),
              HasSubstr("too many elements"));
}

TEST(SafetensorsHeaderTest, TheDataIsTiledExactly) {
  const std::string two = R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                          R"("b":{"dtype":"U8","shape":[4],"data_offsets":)";
  EXPECT_EQ(ParseError(two + "[4,8]}}", 8), "no error");
  EXPECT_THAT(ParseError(two + "[4,8]}}", 7),
              testing::AllOf(HasSubstr("end at 8, past the file's 7 bytes"), HasSubstr("in tensor 'b'")));
  EXPECT_THAT(ParseError(two + "[4,8]}}", 9), HasSubstr("got 1 more bytes"));
  EXPECT_THAT(ParseError(two + "[3,7]}}", 8), HasSubstr("inside the tensor before"));
  EXPECT_THAT(ParseError(two + "[0,4]}}", 8), HasSubstr("inside the tensor before"));
  EXPECT_THAT(ParseError(two + "[5,9]}}", 9), HasSubstr("leaving a gap"));
  EXPECT_THAT(ParseError(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[1,5]}})", 5), HasSubstr("leaving a gap"));
}

// Written by the reference implementation: tools/models/make_format_goldens.py.
TEST(SafetensorsGoldenTest, EveryDType) {
  const fs::path path = "tests/data/formats/dtypes.safetensors";
  EXPECT_EQ(ParseHeader(MappedFile::Open(path)->bytes()).metadata.at("format"), "pt");
  const TensorMap tensors = ReadFile(path);
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

class SafetensorsFileTest : public ::testing::Test {
 protected:
  fs::path Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(root_ / name, std::ios::binary) << bytes;
    return root_ / name;
  }
  const TemporaryDirectory directory_;
  const fs::path root_ = directory_.path();
};

TEST_F(SafetensorsFileTest, TensorsAreMappedAndTheUnalignedCopied) {
  // The data begin at a multiple of 8, so that "mapped" is aligned and "copied" is not.
  std::string header = R"({"mapped":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},)"
                       R"("byte":{"dtype":"I8","shape":[1],"data_offsets":[4,5]},)"
                       R"("copied":{"dtype":"I16","shape":[2],"data_offsets":[5,9]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const TensorMap tensors = ReadFile(Write("model.safetensors", File(header, 9)));
  EXPECT_THAT(tensors.at("mapped").values<std::int32_t>(), ElementsAre(0x04030201));
  EXPECT_THAT(tensors.at("byte").values<std::int8_t>(), ElementsAre(5));
  EXPECT_THAT(tensors.at("copied").values<std::int16_t>(), ElementsAre(0x0706, 0x0908));
  EXPECT_EQ(tensors.at("byte").data(), tensors.at("mapped").data() + 4);
  EXPECT_NE(tensors.at("copied").data(), tensors.at("mapped").data() + 5);
}

TEST_F(SafetensorsFileTest, ErrorsNameTheTensorAndTheFile) {
  const fs::path path = Write("model.safetensors", File(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 3));
  EXPECT_THAT(ErrorOf([&] { ReadFile(path); }), testing::AllOf(HasSubstr("invalid file"), HasSubstr("in tensor 'a'"),
                                                               HasSubstr("in file '" + path.string())));
  EXPECT_THAT(ErrorOf([&] { ReadFile(root_ / "none"); }), HasSubstr("not found"));
  EXPECT_THAT(ErrorOf([&] { ReadFile(Write("empty", "")); }), HasSubstr("expected at least 8 bytes, got 0"));
  ASSERT_EQ(::mkfifo((root_ / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(ErrorOf([&] { ReadFile(root_ / "fifo"); }), HasSubstr("FIFO"));
}

TEST_F(SafetensorsFileTest, ADirectoryHasOneFileOrShards) {
  EXPECT_FALSE(FindCheckpoint(root_));
  Write("model-1.safetensors", File(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                                    R"("unnamed":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                                    2));
  Write("model-2.safetensors", File(R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 2));
  Write("model.safetensors.index.json",
        R"({"metadata":{},"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}})");
  const Checkpoint shards = FindCheckpoint(root_).value();
  EXPECT_EQ(shards.tensors.size(), 2U);
  EXPECT_THAT(shards.tensors.at("b").values<std::uint8_t>(), ElementsAre(1, 2));
  EXPECT_THAT(shards.files, ElementsAre(root_ / "model.safetensors.index.json", root_ / "model-1.safetensors",
                                        root_ / "model-2.safetensors"));
  Write("model.safetensors", File("{}", 0));
  EXPECT_TRUE(FindCheckpoint(root_).value().tensors.empty());
}

TEST_F(SafetensorsFileTest, ShardsThatContradictTheIndexAreRefused) {
  Write("shard", File(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1));
  const auto error_with_index = [&](const std::string& index) {
    Write("model.safetensors.index.json", index);
    return ErrorOf([&] { FindCheckpoint(root_); });
  };
  EXPECT_EQ(error_with_index(R"({"weight_map":{"a":"shard"}})"), "no error");
  EXPECT_THAT(error_with_index(R"({"weight_map":{"b":"shard"}})"), HasSubstr("tensor 'b' is not in 'shard'"));
  EXPECT_THAT(error_with_index(R"({"weight_map":{"a":"gone"}})"),
              testing::AllOf(HasSubstr("not found"), HasSubstr("gone"), HasSubstr("index.json")));
  EXPECT_THAT(error_with_index(R"({"weight_map":{"a":"../shard"}})"), HasSubstr("expected a plain file name"));
  EXPECT_THAT(error_with_index(R"({"weight_map":{"a":".."}})"), HasSubstr("expected a plain file name"));
  EXPECT_THAT(error_with_index(R"({"weight_map":{"a":1}})"), HasSubstr("expected the name of a file for tensor 'a'"));
  EXPECT_THAT(error_with_index("{}"), HasSubstr("expected an object 'weight_map'"));
  EXPECT_THAT(error_with_index("[]"), HasSubstr("expected an object 'weight_map'"));
}

}  // namespace
}  // namespace laconic::safetensors
