// Many clients, one batcher: everybody gets the answer to their own text, whatever their neighbours send.

#include "laconic/batcher.h"

#include <atomic>
#include <cstring>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing.h"
#include "laconic/error.h"
#include "laconic/model.h"
#include "runtime/tap.h"

namespace laconic {
namespace {
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;

class BatcherTest : public ::testing::Test {
 protected:
  BatcherTest() : model_(CompiledModel::Compile(Model::Load("tests/data/tiny_bert"))) {
    std::mt19937_64 random(5);
    for (int i = 0; i < 40; ++i) {
      Encoding& text = texts_.emplace_back();
      for (std::size_t length = 1 + random() % 100; length > 0; --length) {
        text.ids.push_back(static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(model_->num_ids())));
      }
      expected_.push_back(Session(model_, 1).Run(std::vector{text}));
    }
  }

  bool IsAnswerTo(std::size_t text, const std::vector<float>& got) const {
    const std::vector<float>& expected = expected_[text];
    return got.size() == expected.size() && std::memcmp(got.data(), expected.data(), got.size() * sizeof(float)) == 0;
  }

  std::shared_ptr<const CompiledModel> model_;
  std::vector<Encoding> texts_;
  std::vector<std::vector<float>> expected_;  // of each text, run alone
};

TEST_F(BatcherTest, ManyClientsGetTheBitsOfTheirTextAlone) {
  for (const BatcherOptions& options :
       {BatcherOptions{}, BatcherOptions{1, 1, microseconds(0)},
        BatcherOptions{.max_texts = 8, .max_tokens = 150, .max_wait = microseconds(300)}}) {
    Batcher batcher(Session(model_, 2), options);
    std::atomic<int> num_wrong{0};
    std::vector<std::thread> clients;
    for (std::size_t client = 0; client < 8; ++client) {
      clients.emplace_back([&, client] {
        for (std::size_t i = 0; i < texts_.size(); ++i) {
          const std::size_t text = (i * 7 + client) % texts_.size();
          num_wrong += IsAnswerTo(text, batcher.Run(texts_[text])) ? 0 : 1;
        }
      });
    }
    for (std::thread& client : clients) {
      client.join();
    }
    EXPECT_EQ(num_wrong, 0);
  }
}

// Each kind of bad text among good ones, all submitted at once.
TEST_F(BatcherTest, ABadTextFailsAloneAndItsNeighboursDoNot) {
  Batcher batcher(Session(model_, 2), {.max_texts = 100, .max_tokens = 100'000, .max_wait = microseconds(50'000)});
  const auto past_the_table = static_cast<std::int32_t>(model_->num_ids());
  const std::vector<std::int32_t> too_long(static_cast<std::size_t>(model_->max_length()) + 1, 0);
  const std::vector<Encoding> bad = {{}, {{-1}, {}}, {{past_the_table}, {}}, {{0}, {2}}, {{0, 1}, {0}}, {too_long, {}}};
  std::vector<std::future<std::vector<float>>> good_answers;
  std::vector<std::future<std::vector<float>>> bad_answers;
  for (std::size_t i = 0; i < texts_.size(); ++i) {
    good_answers.push_back(batcher.Submit(texts_[i]));
    bad_answers.push_back(batcher.Submit(bad[i % bad.size()]));
  }
  for (std::size_t i = 0; i < texts_.size(); ++i) {
    EXPECT_TRUE(IsAnswerTo(i, good_answers[i].get()));
    EXPECT_THAT(ErrorOf([&] { bad_answers[i].get(); }), ::testing::StartsWith("invalid argument: "))
        << "bad text " << i % bad.size();
  }
}

// A limit that is reached ends the wait: with a deadline an hour away these would never come.
TEST_F(BatcherTest, FullBatchesDoNotWait) {
  Batcher by_texts(Session(model_, 1), {.max_texts = 2, .max_tokens = 1'000'000, .max_wait = hours(1)});
  auto first = by_texts.Submit(texts_[0]);
  EXPECT_EQ(first.wait_for(milliseconds(20)), std::future_status::timeout) << "alone it waits";
  EXPECT_TRUE(IsAnswerTo(1, by_texts.Run(texts_[1])));
  EXPECT_TRUE(IsAnswerTo(0, first.get()));
  Batcher by_tokens(Session(model_, 1), {.max_texts = 1000, .max_tokens = 1, .max_wait = hours(1)});
  EXPECT_TRUE(IsAnswerTo(2, by_tokens.Run(texts_[2]))) << "a text above the limit runs alone";
}

// The longest wait there is: the clock does not count so far.
TEST_F(BatcherTest, AWaitWithoutEndEndsWithAFullBatch) {
  Batcher batcher(Session(model_, 1), {.max_texts = 2, .max_tokens = 1'000'000, .max_wait = microseconds::max()});
  auto first = batcher.Submit(texts_[0]);
  EXPECT_EQ(first.wait_for(microseconds(20'000)), std::future_status::timeout);
  EXPECT_TRUE(IsAnswerTo(1, batcher.Run(texts_[1])));
  EXPECT_TRUE(IsAnswerTo(0, first.get()));
}

// How many texts and tokens each batch has.
struct BatchSizes : runtime::TapSink {
  void BeginBatch(const runtime::TapBatch& batch) override {
    sizes.emplace_back(batch.starts.size() - 1, batch.starts.back());
  }
  void TakeRows(const runtime::TapRows& /*rows*/) noexcept override {}
  std::vector<std::pair<std::size_t, std::int64_t>> sizes;
};

TEST_F(BatcherTest, BatchesKeepWithinBothLimits) {
  BatchSizes batches;
  const Model model = Model::Load("tests/data/tiny_bert");
  {
    Batcher batcher(Session(runtime::CompileTapped(model.graph(), {}, &batches), 1),
                    {.max_texts = 3, .max_tokens = 120, .max_wait = hours(1)});
    std::vector<std::future<std::vector<float>>> answers;
    for (const Encoding& text : texts_) {
      answers.push_back(batcher.Submit(text));
    }
  }
  std::size_t num_texts = 0;
  for (const auto& [texts, tokens] : batches.sizes) {
    EXPECT_LE(texts, 3U);
    EXPECT_TRUE(tokens <= 120 || texts == 1) << texts << " texts of " << tokens << " tokens";
    num_texts += texts;
  }
  EXPECT_EQ(num_texts, texts_.size());
  EXPECT_LT(batches.sizes.size(), texts_.size());
}

TEST_F(BatcherTest, AfterAFullBatchTheNextOneWaitsToo) {
  Batcher batcher(Session(model_, 1), {.max_texts = 100, .max_tokens = 30, .max_wait = hours(1)});
  const Encoding text = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, {}};
  for (int round = 0; round < 2; ++round) {
    auto first = batcher.Submit(text);
    auto second = batcher.Submit(text);
    EXPECT_EQ(first.wait_for(milliseconds(20)), std::future_status::timeout);
    const std::vector<float> third = batcher.Run(text);
    EXPECT_EQ(first.get(), third);
    EXPECT_EQ(second.get(), third);
  }
}

TEST_F(BatcherTest, TheDeadlineEndsTheWait) {
  Batcher batcher(Session(model_, 1), {.max_texts = 1000, .max_tokens = 1'000'000, .max_wait = microseconds(1000)});
  EXPECT_TRUE(IsAnswerTo(3, batcher.Run(texts_[3])));
}

TEST_F(BatcherTest, ClosingAnswersWhatWasSubmitted) {
  std::vector<std::future<std::vector<float>>> answers;
  {
    Batcher batcher(Session(model_, 1), {.max_texts = 7, .max_tokens = 1'000'000, .max_wait = hours(1)});
    for (const Encoding& text : texts_) {
      answers.push_back(batcher.Submit(text));
    }
  }
  for (std::size_t i = 0; i < texts_.size(); ++i) {
    EXPECT_TRUE(IsAnswerTo(i, answers[i].get()));
  }
}

TEST_F(BatcherTest, RefusesLimitsThatNothingFits) {
  EXPECT_THROW(Batcher(Session(model_, 1), {.max_texts = 0}), Error);
  EXPECT_THROW(Batcher(Session(model_, 1), {.max_tokens = 0}), Error);
  EXPECT_THROW(Batcher(Session(model_, 1), {.max_wait = microseconds(-1)}), Error);
}

}  // namespace
}  // namespace laconic
