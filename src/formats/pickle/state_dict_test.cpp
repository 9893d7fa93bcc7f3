#include "formats/pickle/state_dict.h"

#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing.h"

namespace laconic::pickle {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace std::string_literals;

// Opcodes by hand; TwoFloats() leaves a tensor of float32 [2] from element 1 of storage "0", which has 4.
std::string Proto() { return "\x80\x02"s; }
std::string Rebuild() { return "ctorch._utils\n_rebuild_tensor_v2\n"s; }
std::string StorageId() {
  return "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"s
         "0X\3\0\0\0cpuK\4t"s;
}
std::string TwoFloats() { return Rebuild() + "(" + StorageId() + "QK\1K\2\x85K\1\x85\x89NtR"s; }
std::string Key() { return "X\1\0\0\0a"s; }

TensorMap Parse(const std::string& pickle) {
  const auto load = [](std::string_view key, DType dtype, std::int64_t num_elements) {
    EXPECT_EQ(key, "0");
    EXPECT_EQ(dtype, DType::kF32);
    EXPECT_EQ(num_elements, 4);
    return Tensor::FromValues<float>({4}, std::vector<float>{0, 1, 2, 3});
  };
  return ParseStateDict(std::as_bytes(std::span(pickle.data(), pickle.size())), load);
}

std::string ErrorOf(const std::string& pickle) {
  return laconic::ErrorOf([&] { Parse(pickle); });
}

TEST(StateDictTest, OneTensor) {
  const TensorMap tensors = Parse(Proto() + "}" + Key() + TwoFloats() + "s.");
  ASSERT_EQ(tensors.size(), 1U);
  EXPECT_THAT(tensors.at("a").values<float>(), ElementsAre(1, 2));
}

TEST(StateDictTest, NothingButTensorsIsImported) {
  // What `pickle.dumps` makes of an object whose __reduce__ returns (os.system, ("true",)).
  EXPECT_THAT(ErrorOf(Proto() + "cposix\nsystem\nq\0X\4\0\0\0trueq\1\x85q\2Rq\3."s),
              testing::AllOf(HasSubstr("invalid file"), HasSubstr("refused to import 'posix.system'"),
                             HasSubstr("opcode at byte 2")));
  EXPECT_THAT(ErrorOf(Proto() + "c__builtin__\neval\n."), HasSubstr("'__builtin__.eval'"));
  EXPECT_THAT(ErrorOf(Proto() + "ctorch.OrderedDict\n\n."), HasSubstr("'torch.OrderedDict.'"));
  EXPECT_THAT(ErrorOf(Proto() + "cno line's end"), HasSubstr("more bytes"));
  for (const char opcode : "\x8c\x93\x94io\x81\x92\x82P0"s) {  // of other protocols, or never written by torch.save
    EXPECT_THAT(ErrorOf(Proto() + opcode), HasSubstr("is not one that torch.save uses"));
  }
  EXPECT_THAT(ErrorOf("\x80\x04."), HasSubstr("expected pickle protocol 2, as torch.save writes it, got 4"));
}

TEST(StateDictTest, EveryTruncationIsRefused) {
  const std::string whole = Proto() + "}" + Key() + TwoFloats() + "s.";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THAT(ErrorOf(whole.substr(0, size)), HasSubstr("more bytes, got")) << size;
  }
}

TEST(StateDictTest, TheStackIsGuarded) {
  EXPECT_THAT(ErrorOf("."), HasSubstr("expected 1 values on the stack, got 0"));
  EXPECT_THAT(ErrorOf("K\1(\x85."), HasSubstr("expected 1 values on the stack, got 0"));  // below the mark
  EXPECT_THAT(ErrorOf("K\1t."), HasSubstr("no mark"));
  EXPECT_THAT(ErrorOf("h\5."), HasSubstr("nothing was remembered as 5"));
  EXPECT_THAT(ErrorOf("q\5."s), HasSubstr("expected 1 values"));
  EXPECT_THAT(ErrorOf("K\1K\1a."), HasSubstr("expected a list to append to, got an integer"));
  EXPECT_THAT(ErrorOf("}(K\1u."), HasSubstr("expected keys and values, got 1 items"));
  EXPECT_THAT(ErrorOf("]."), HasSubstr("expected a dict of tensors, got a tuple or list"));
  EXPECT_THAT(ErrorOf("K\1)R."), HasSubstr("expected a callable, got an integer"));
  EXPECT_THAT(ErrorOf(Rebuild() + ")R."), HasSubstr("unexpected number of arguments: 0"));
  EXPECT_THAT(ErrorOf(Rebuild() + "}R."), HasSubstr("expected a tuple of arguments, got a dict"));
  EXPECT_THAT(ErrorOf("\x8a\x09" + std::string(9, '\1') + "."), HasSubstr("at most 8 bytes, got 9"));
  EXPECT_THAT(ErrorOf("X\xff\xff\xff\xff."), HasSubstr("expected 4294967295 more bytes"));
  EXPECT_THAT(ErrorOf("K\1b."), HasSubstr("expected 1 values"));
  EXPECT_THAT(ErrorOf("K\1K\1b."), HasSubstr("expected a dict whose attributes to set"));
}

TEST(StateDictTest, DeepAndCyclicValuesAreHarmless) {
  EXPECT_EQ(ErrorOf(")" + std::string(1 << 20, '\x85') + "0"),
            "invalid file: opcode 48 is not one that torch.save "
            "uses\n  in the pickle's opcode at byte 1048577");
  EXPECT_TRUE(Parse("]q\1h\1a}h\1h\1s."s).empty());  // a list that holds itself
  EXPECT_TRUE(Parse("}q\1h\1h\1s."s).empty());       // a dict that holds itself
  EXPECT_THAT(ErrorOf(std::string((8 << 20) + 1, 'N')), HasSubstr("a pickle of at most 8388608 bytes"));
}

TEST(StateDictTest, ADictThatIsThereManyTimesIsReadOnce) {
  constexpr int kCount = 100'000;
  const auto times = [](const std::string& item) {
    std::string all;
    for (int i = 0; i < kCount; ++i) {
      all += item;
    }
    return all;
  };
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(Parse("}(K\1}q\0("s + times("K\1K\1") + "u" + times("K\1h\0"s) + "u.").empty());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5)) << "in turn, that is 10^10 items";
  const std::string inner = "}q\0"s + Key() + TwoFloats() + "s";
  EXPECT_EQ(Parse("}(" + Key() + inner + "K\1h\0u."s).count("a"), 1U);
}

TEST(StateDictTest, NamesHaveALimit) {
  const auto named = [](std::size_t size) {
    const std::string length = {static_cast<char>(size & 0xffU), static_cast<char>(size >> 8U), '\0', '\0'};
    return "}X" + length + std::string(size, 'a') + TwoFloats() + "s.";
  };
  EXPECT_EQ(Parse(named(1024)).size(), 1U);
  EXPECT_THAT(ErrorOf(named(1025)), HasSubstr("expected a tensor's name of at most 1024 bytes, got 1025"));
}

TEST(StateDictTest, TensorsMayNotLeaveTheirStorage) {
  const auto with = [](const std::string& offset, const std::string& sizes, const std::string& strides) {
    return ErrorOf("}" + Key() + Rebuild() + "(" + StorageId() + "Q" + offset + sizes + strides + "\x89NtRs.");
  };
  EXPECT_EQ(with("K\2", "K\2\x85", "K\1\x85"), "no error");
  EXPECT_THAT(with("K\3", "K\2\x85", "K\1\x85"), HasSubstr("leaves the 4 elements"));
  EXPECT_THAT(with("K\1", "K\2\x85", "K\3\x85"), HasSubstr("leaves the 4 elements"));
  EXPECT_THAT(with("J\xff\xff\xff\xff", "K\2\x85", "K\1\x85"), HasSubstr("from element -1 leaves"));
  EXPECT_THAT(with("K\1", "K\2\x85", "J\xff\xff\xff\xff\x85"), HasSubstr("leaves"));
  EXPECT_THAT(with("K\1", "J\xff\xff\xff\xff\x85", "K\1\x85"), HasSubstr("negative size"));
  EXPECT_THAT(with("K\1", "\x8a\x08" + std::string(7, '\0') + "\x08\x85", "K\1\x85"), HasSubstr("leaves"));
  EXPECT_THAT(with("K\1", "K\2K\1\x86", "K\1\x85"), HasSubstr("leaves"));
  EXPECT_THAT(with("N", "K\2\x85", "K\1\x85"), HasSubstr("expected an offset, got a plain value"));
  EXPECT_THAT(with("K\1", "K\2", "K\1\x85"), HasSubstr("expected sizes, got an integer"));
}

TEST(StateDictTest, StorageIdsAreChecked) {
  EXPECT_THAT(ErrorOf("K\1Q."), HasSubstr("expected the id of a storage, got an integer"));
  EXPECT_THAT(ErrorOf(")Q."), HasSubstr("got 0 fields"));
  std::string other = StorageId();
  other.replace(other.find("storage"), 7, "stOrage");
  EXPECT_THAT(ErrorOf(other + "Q."), HasSubstr("expected the id of a storage to be 'storage'"));
  other = StorageId();
  other.replace(other.find("FloatStorage"), 12, "QInt8Storage");
  EXPECT_THAT(ErrorOf(other + "Q."), HasSubstr("refused to import 'torch.QInt8Storage'"));
}

TEST(StateDictTest, ASecondDictOfTensorsIsAmbiguous) {
  const std::string inner = "}" + Key() + TwoFloats() + "s";
  EXPECT_EQ(Parse("}" + Key() + inner + "s.").count("a"), 1U);
  EXPECT_THAT(ErrorOf("}(" + Key() + inner + "K\1" + inner + "u."),
              HasSubstr("expected one dict of tensors, got several"));
}

}  // namespace
}  // namespace laconic::pickle
