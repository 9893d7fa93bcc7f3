// A process that serves for weeks: no allocation after the first batches, no growth, many clients at once.

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <random>
#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <malloc.h>

#include "graph/graph.h"
#include "kernels/isa.h"
#include "laconic/error.h"
#include "laconic/model.h"
#include "laconic/session.h"
#include "passes/layer_selection.h"
#include "passes/quantize/int8.h"

namespace {

std::atomic<std::int64_t> num_allocations{0};

void* TryAllocate(std::size_t size, std::size_t alignment) noexcept {
  num_allocations.fetch_add(1, std::memory_order_relaxed);
  return std::aligned_alloc(alignment, (std::max<std::size_t>(size, 1) + alignment - 1) / alignment * alignment);
}

void* Allocate(std::size_t size, std::size_t alignment) {
  void* data = TryAllocate(size, alignment);
  if (data == nullptr) {
    throw std::bad_alloc();
  }
  return data;
}

}  // namespace

// The library's other forms call these; but AddressSanitizer brings its own, and std::stable_sort calls the nothrow
// one.
void* operator new(std::size_t size) { return Allocate(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, const std::nothrow_t& /*unused*/) noexcept {
  return TryAllocate(size, alignof(std::max_align_t));
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return Allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* data) noexcept { std::free(data); }
void operator delete(void* data, std::size_t) noexcept { std::free(data); }
void operator delete(void* data, std::align_val_t) noexcept { std::free(data); }
void operator delete(void* data, std::size_t, std::align_val_t) noexcept { std::free(data); }

namespace laconic {
namespace {

std::shared_ptr<const CompiledModel> CompileInt8(const std::string& name) {
  const Model model = Model::Load("tests/data/" + name);
  const std::vector<std::string> names = passes::SelectLayers(model.graph(), {});
  auto graph = std::make_shared<const Graph>(passes::QuantizeInt8(model.graph(), {names.begin(), names.end()}));
  return CompiledModel::Compile({model.info(), std::move(graph), model.tokenizer()});
}

class TextMaker {
 public:
  TextMaker(std::int64_t num_ids, std::uint64_t seed) : num_ids_(num_ids), random_(seed) {}

  std::size_t Number(std::size_t limit) { return 1 + random_() % limit; }

  Encoding Text(std::size_t length) {
    Encoding text;
    for (std::size_t i = 0; i < length; ++i) {
      text.ids.push_back(static_cast<std::int32_t>(random_() % static_cast<std::uint64_t>(num_ids_)));
    }
    return text;
  }

  std::vector<Encoding> Batch(std::size_t most_texts, std::size_t most_tokens) {
    std::vector<Encoding> batch(Number(most_texts));
    std::ranges::generate(batch, [&] { return Text(Number(most_tokens)); });
    return batch;
  }

 private:
  std::int64_t num_ids_;
  std::mt19937_64 random_;
};

bool SameBits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

class ServingTest : public ::testing::TestWithParam<int> {};  // threads

TEST_P(ServingTest, AllocatesNothingAfterTheFirstBatches) {
  for (const char* name : {"tiny_bert", "tiny_albert", "tiny_xlm_roberta"}) {
    for (const auto& model :
         {CompileInt8(name), CompiledModel::Compile(Model::Load(std::string("tests/data/") + name))}) {
      Session session(model, GetParam());
      TextMaker make(model->num_ids(), 1);
      std::vector<std::vector<Encoding>> batches;
      for (int i = 0; i < 20; ++i) {
        batches.push_back(make.Batch(8, 100));
      }
      std::vector<float> logits(8 * static_cast<std::size_t>(model->output_width()));
      const auto run_all = [&] {
        for (const std::vector<Encoding>& batch : batches) {
          session.Run(batch, std::span(logits).first(batch.size() * static_cast<std::size_t>(model->output_width())));
        }
      };
      run_all();
      const std::int64_t before = num_allocations;
      const std::size_t heap_before = ::mallinfo2().uordblks;
      run_all();
      run_all();
      EXPECT_EQ(num_allocations - before, 0) << name;
      EXPECT_EQ(::mallinfo2().uordblks, heap_before) << name;
      const std::vector<float> result = session.Run(batches[0]);
      EXPECT_EQ(num_allocations - before, 1) << name << ": its result alone";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, ServingTest, ::testing::Values(1, 2, 3));

std::int64_t ResidentBytes() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("VmRSS:")) {
      return std::strtoll(line.c_str() + 6, nullptr, 10) * 1024;
    }
  }
  return 0;
}

// LACONIC_SERVED_BATCHES, or a number for every day.
int NumBatches() {
  const char* wanted = std::getenv("LACONIC_SERVED_BATCHES");
  return wanted == nullptr ? 1000 : std::atoi(wanted);
}

TEST(GrowthTest, RandomShapesLeaveMemoryAsItWas) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers keep blocks that were freed";
#endif
  const auto model = CompileInt8("tiny_bert");
  Session session(model, 2);
  TextMaker make(model->num_ids(), 2);
  // The largest that will come, so that what follows has no cause to grow.
  session.Run(std::vector<Encoding>(8, make.Text(128)));
  const auto serve = [&](int count) {
    for (int i = 0; i < count; ++i) {
      ASSERT_FALSE(session.Run(make.Batch(8, 128)).empty());
    }
  };
  serve(100);
  const auto heap_before = static_cast<std::int64_t>(::mallinfo2().uordblks);
  const std::int64_t resident_before = ResidentBytes();
  serve(NumBatches());
  // Batches are made and freed here, and the allocator keeps some of their blocks at hand, counted as used. A leak of
  // 64 bytes a batch would be 64 kB; of its smallest buffer, 1 MB.
  EXPECT_LT(static_cast<std::int64_t>(::mallinfo2().uordblks) - heap_before, 32 << 10);
  // Which thread first touches which page of its buffers is chance, some 600 kB of them. A page a batch would be 4 MB.
  EXPECT_LE(ResidentBytes() - resident_before, 2 << 20);
}

// Clients with a session each over one model, whose threads exceed the CPUs.
TEST(ClientsTest, SessionsOverOneModelAtOnce) {
  const auto model = CompileInt8("tiny_bert");
  TextMaker make(model->num_ids(), 3);
  const std::vector<Encoding> texts = make.Batch(64, 128);
  const std::vector<float> expected = Session(model, 1).Run(texts);
  std::vector<std::thread> clients;
  std::atomic<int> num_different{0};
  for (int client = 0; client < 8; ++client) {
    clients.emplace_back([&, client] {
      Session session(model, 1 + client % 3);
      for (std::size_t size = 1; size <= texts.size(); size += 1 + static_cast<std::size_t>(client)) {
        const std::vector<float> got = session.Run(std::span(texts).first(size));
        num_different += SameBits(got, std::span(expected).first(got.size())) && !got.empty() ? 0 : 1;
      }
    });
  }
  for (std::thread& client : clients) {
    client.join();
  }
  EXPECT_EQ(num_different, 0) << "batches with other answers";
}

}  // namespace
}  // namespace laconic
