// Packed weights kept in a file: found again, shared, and never believed when anything about them has changed.

#include "runtime/pack_store.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/testing.h"
#include "graph/graph.h"
#include "laconic/error.h"
#include "laconic/model.h"
#include "laconic/session.h"
#include "passes/layer_selection.h"
#include "passes/quantize/int8.h"
#include "runtime/packed_linear.h"
#include "runtime/stored_weights.h"

namespace laconic {
namespace {
namespace fs = std::filesystem;

std::string ReadBytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void WriteBytes(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

class PackStoreTest : public ::testing::Test {
 protected:
  const TemporaryDirectory temporary_;
  const fs::path directory_ = temporary_.path();
};

TEST_F(PackStoreTest, SharesWithinAModelAndAcrossStarts) {
  const fs::path file = directory_ / "packed";
  int num_made = 0;
  const auto find = [&](runtime::PackStore* store, const std::string& key, bool* is_new) {
    const runtime::PackedBytes packed = store->FindOrMake(
        key, 5000,
        [&](std::byte* out) {
          std::memset(out, key.empty() ? 'x' : key[0], 5000);
          ++num_made;
        },
        is_new);
    return std::string(reinterpret_cast<const char*>(packed.data), 5000);
  };
  bool is_new = false;
  {
    runtime::PackStore store(file);
    EXPECT_EQ(find(&store, "a", &is_new), std::string(5000, 'a'));
    EXPECT_TRUE(is_new);
    EXPECT_EQ(find(&store, "a", &is_new), std::string(5000, 'a'));
    EXPECT_FALSE(is_new);
    find(&store, "b", &is_new);
    find(&store, "", &is_new);
    find(&store, "", &is_new);
    EXPECT_EQ(num_made, 4) << "what has no key is not shared";
    store.Save();
  }
  num_made = 0;
  runtime::PackStore store(file);
  EXPECT_EQ(find(&store, "b", &is_new), std::string(5000, 'b'));
  EXPECT_TRUE(is_new) << "in this model";
  EXPECT_EQ(find(&store, "a", &is_new), std::string(5000, 'a'));
  EXPECT_EQ(num_made, 0);
  EXPECT_FALSE(store.is_stale());
  find(&store, "c", &is_new);
  EXPECT_TRUE(store.is_stale());
}

// Some fill a block, one is larger than that; all outlive the store.
TEST(PackStoreBlocks, WeightsOfAnySizesStayWhole) {
  std::vector<runtime::PackedBytes> made;
  const auto ends = [&](std::size_t i) {
    return std::make_pair(made[i].data[0], made[i].data[made[i].size_bytes - 1]);
  };
  {
    runtime::PackStore store;
    for (const std::int64_t size : {1, 63, 64, 5000, 40 << 20, 40 << 20, 70 << 20, 3}) {
      const auto mark = static_cast<std::byte>(made.size());
      const auto fill = [&](std::byte* out) { out[0] = out[size - 1] = mark; };
      bool is_new = false;
      made.push_back(store.FindOrMake("", size, fill, &is_new));
    }
  }
  for (std::size_t i = 0; i < made.size(); ++i) {
    EXPECT_EQ(ends(i), std::make_pair(static_cast<std::byte>(i), static_cast<std::byte>(i)));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(made[i].data) % 64, 0U);
  }
}

// Five pages and eight bytes of 'a', from the file as `change` leaves it: 'b' where they had to be made anew.
class DamagedPackTest : public PackStoreTest {
 protected:
  static constexpr std::int64_t kSize = 5 * 4096 + 8;

  std::string Find(std::int64_t size, char made) const {
    runtime::PackStore store(file_);
    bool is_new = false;
    const runtime::PackedBytes packed = store.FindOrMake(
        "key", size, [&](std::byte* out) { std::memset(out, made, static_cast<std::size_t>(size)); }, &is_new);
    std::string bytes(reinterpret_cast<const char*>(packed.data), static_cast<std::size_t>(size));
    store.Save();
    return bytes;
  }
  fs::path file_ = directory_ / "packed";
};

TEST_F(DamagedPackTest, IsMadeAnew) {
  EXPECT_EQ(Find(kSize, 'a'), std::string(kSize, 'a'));
  EXPECT_EQ(Find(kSize, 'b'), std::string(kSize, 'a')) << "unchanged";
  const std::string whole = ReadBytes(file_);
  std::string changed = whole;
  changed[changed.rfind('a')] = 'x';
  WriteBytes(file_, changed);
  EXPECT_EQ(Find(kSize, 'b'), std::string(kSize, 'b')) << "its last byte, past whole words";
  WriteBytes(file_, whole.substr(0, whole.size() - 5 * 4096));
  EXPECT_EQ(Find(kSize, 'b'), std::string(kSize, 'b')) << "the index is whole, most of the pages are gone";
  WriteBytes(file_, whole);
  EXPECT_EQ(Find(kSize << 10, 'b'), std::string(kSize << 10, 'b')) << "another size, past the file's end";
}

class PackCacheTest : public PackStoreTest {
 protected:
  PackCacheTest() {
    SaveArtifact("tiny_bert");
    std::mt19937_64 random(9);
    for (int i = 0; i < 6; ++i) {
      Encoding& text = texts_.emplace_back();
      for (std::size_t length = 1 + random() % 60; length > 0; --length) {
        text.ids.push_back(static_cast<std::int32_t>(random() % 90));
      }
    }
  }

  void SaveArtifact(const std::string& name) {
    const Model model = Model::Load("tests/data/" + name);
    const std::vector<std::string> names = passes::SelectLayers(model.graph(), {});
    auto graph = std::make_shared<const Graph>(passes::QuantizeInt8(model.graph(), {names.begin(), names.end()}));
    Model(model.info(), std::move(graph), model.tokenizer()).Save(artifact_, true);
  }

  std::vector<float> Answers(bool pack_cache) {
    const NoteFn note = [this](const std::string& text) { notes_.push_back(text); };
    const CompileOptions options = {.isa = "scalar", .pack_cache = pack_cache, .note = note};
    return Session(CompiledModel::Compile(Model::Load(artifact_), options), 2).Run(texts_);
  }

  // Answers with the cache as it is now; they must be right, and the cache whole afterwards.
  void ExpectRightAndWritten(const std::string& what) {
    EXPECT_EQ(Answers(true), Answers(false)) << what;
    EXPECT_EQ(ReadBytes(cache_), whole_) << what;
  }

  void WriteWhole() {
    EXPECT_EQ(Answers(true), Answers(false));
    whole_ = ReadBytes(cache_);
    ASSERT_GT(whole_.size(), 4096U);
  }

  fs::path artifact_ = directory_ / "model";
  fs::path cache_ = artifact_ / "packed.scalar";
  std::string whole_;
  std::vector<Encoding> texts_;
  std::vector<std::string> notes_;
};

TEST_F(PackCacheTest, IsWrittenOnceAndThenRead) {
  WriteWhole();
  const auto written = fs::last_write_time(cache_);
  ExpectRightAndWritten("second start");
  EXPECT_EQ(fs::last_write_time(cache_), written);
}

TEST_F(PackCacheTest, DamageIsFoundWhereverItIs) {
  WriteWhole();
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{10}, std::size_t{60}, std::size_t{1000}, whole_.size() / 2, whole_.size() - 4096}) {
    WriteBytes(cache_, whole_.substr(0, size));
    ExpectRightAndWritten("cut to " + std::to_string(size));
  }
  std::mt19937_64 random(1);
  for (int i = 0; i < 60; ++i) {
    std::string damaged = whole_;
    // The index first, then anywhere.
    const std::size_t at = random() % (i < 20 ? 2000 : whole_.size());
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << (random() % 8)));
    WriteBytes(cache_, damaged);
    EXPECT_EQ(Answers(true), Answers(false)) << "bit flipped at " << at;
  }
  WriteBytes(cache_, "something else altogether");
  ExpectRightAndWritten("another file");
}

TEST_F(PackCacheTest, WeightsThatChangedAreNotTakenFromIt) {
  WriteWhole();
  // The same shapes, sizes and names: other weights.
  SaveArtifact("tiny_electra");
  WriteBytes(cache_, whole_);
  EXPECT_EQ(Answers(true), Answers(false));
  EXPECT_NE(ReadBytes(cache_), whole_);
}

TEST_F(PackCacheTest, LevelsOfOneStoreHaveTheirOwn) {
  const Model model = Model::Load(artifact_);
  const auto& nodes = model.graph().nodes();
  const auto linear = std::ranges::find(nodes, "laconic.Linear", &Node::op);
  const std::vector parts = {runtime::StoredLinear(model.graph(), *linear)};
  runtime::PackStore store;
  const auto pack = [&](kernels::Isa isa) {
    return runtime::PackS8(parts, kernels::GetGemmU8S8(isa), &store).weights.data;
  };
  EXPECT_EQ(pack(kernels::Isa::kScalar), pack(kernels::Isa::kScalar));
  EXPECT_NE(pack(kernels::Isa::kScalar), pack(kernels::Isa::kAvx2));
}

TEST_F(PackCacheTest, OptionsThatPackOtherWeightsHaveTheirOwn) {
  WriteWhole();
  CompiledModel::Compile(Model::Load(artifact_), {.isa = "scalar", .saturating = true, .pack_cache = true});
  EXPECT_TRUE(fs::exists(artifact_ / "packed.scalar.saturating"));
  ExpectRightAndWritten("as before");
}

TEST_F(PackCacheTest, AModelWithoutFilesHasNone) {
  ModelInfo info = Model::Load("tests/data/tiny_bert").info();
  info.path.clear();
  const Model model = Model::Load(artifact_);
  EXPECT_THROW(CompiledModel::Compile({info, model.shared_graph(), std::nullopt}, {.pack_cache = true}), Error);
}

// Only the time of the file tells.
TEST_F(PackCacheTest, FilesThatWereTouchedArePackedAgain) {
  WriteWhole();
  fs::last_write_time(artifact_ / "model.onnx.data", fs::file_time_type::clock::now() + std::chrono::seconds(7));
  EXPECT_EQ(Answers(true), Answers(false));
  EXPECT_NE(ReadBytes(cache_), whole_);
}

// As archives and image layers do.
TEST_F(PackCacheTest, FilesWhoseTimesLostTheirFractionsAreStillTheSame) {
  WriteWhole();
  for (const fs::directory_entry& file : fs::directory_iterator(artifact_)) {
    fs::last_write_time(file, std::chrono::floor<std::chrono::seconds>(fs::last_write_time(file)));
  }
  ExpectRightAndWritten("unpacked");
}

TEST_F(PackCacheTest, WhereItCannotBeWrittenTheModelRunsWithout) {
  if (::geteuid() == 0) {
    fs::create_directory(cache_);  // root may write anywhere, but not a file over a directory
  } else {
    fs::permissions(artifact_, fs::perms::owner_read | fs::perms::owner_exec);
  }
  const std::vector<float> expected = Answers(false);
  EXPECT_TRUE(notes_.empty());
  EXPECT_EQ(Answers(true), expected);
  ASSERT_EQ(notes_.size(), 1U);
  EXPECT_NE(notes_[0].find("without a pack cache"), std::string::npos) << notes_[0];
  EXPECT_NE(notes_[0].find(cache_.string()), std::string::npos) << notes_[0];
  fs::permissions(artifact_, fs::perms::owner_all);
}

// Layers of ALBERT are one layer, run many times.
TEST(SharedWeightsTest, ArePackedOnce) {
  const Model albert = Model::Load("tests/data/tiny_albert");
  std::int64_t linear_bytes = 0;
  for (const auto& [id, tensor] : albert.graph().initializers()) {
    linear_bytes += tensor.size_bytes();
  }
  // The scalar level pads nothing, so weights take what they take in the file.
  EXPECT_LE(CompiledModel::Compile(albert, {.isa = "scalar"})->memory_bytes(), linear_bytes * 11 / 10);
}

}  // namespace
}  // namespace laconic
