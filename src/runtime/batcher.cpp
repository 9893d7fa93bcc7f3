#include "laconic/batcher.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <span>
#include <system_error>
#include <thread>
#include <utility>

#include "laconic/error.h"

namespace laconic {
namespace {

using Clock = std::chrono::steady_clock;
using Answer = std::promise<std::vector<float>>;

constexpr std::chrono::hours kLongestWait{24 * 365};  // the clock counts so far; "forever" would wrap around

struct Request {
  Encoding text;
  Answer answer;
  Clock::time_point submitted;
  std::int64_t num_tokens() const noexcept { return static_cast<std::int64_t>(text.ids.size()); }
};

struct Batch {
  std::vector<Encoding> texts;
  std::vector<Answer> answers;  // of each text
};

// Runs some texts and answers them; lets an error through before any is answered.
void RunTogether(Session* session, std::span<const Encoding> texts, std::span<Answer> answers) {
  const std::vector<float> all = session->Run(texts);
  const auto width = static_cast<std::ptrdiff_t>(session->model().output_width());
  std::vector<std::vector<float>> rows;
  for (auto row = all.begin(); row != all.end(); row += width) {
    rows.emplace_back(row, row + width);
  }
  for (std::size_t i = 0; i < answers.size(); ++i) {
    answers[i].set_value(std::move(rows[i]));
  }
}

// A batch that fails runs again text by text, so that only those at fault do.
void RunBatch(Session* session, Batch batch) {
  try {
    RunTogether(session, batch.texts, batch.answers);
    return;
  } catch (const std::exception&) {
  }
  for (std::size_t i = 0; i < batch.texts.size(); ++i) {
    try {
      RunTogether(session, std::span(batch.texts).subspan(i, 1), std::span(batch.answers).subspan(i, 1));
    } catch (const std::exception&) {
      batch.answers[i].set_exception(std::current_exception());
    }
  }
}

}  // namespace

struct Batcher::Impl {
  Impl(Session own, const BatcherOptions& limits) : session(std::move(own)), options(limits) {
    if (options.max_texts < 1 || options.max_tokens < 1 || options.max_wait.count() < 0) {
      Fail(ErrorCode::kInvalidArgument,
           "expected batches of at least 1 text and 1 token and a wait of at least 0, got ", options.max_texts, ", ",
           options.max_tokens, " and ", options.max_wait.count(), " us");
    }
    try {
      worker = std::thread([this] { Serve(); });
    } catch (const std::system_error& error) {
      Fail(ErrorCode::kResource, "cannot start a thread: ", error.what());
    }
  }

  ~Impl() {
    if (worker.joinable()) {
      {
        const std::lock_guard lock(mutex);
        is_closing = true;
      }
      changed.notify_one();
      worker.join();
    }
  }

  void Serve();
  Batch TakeBatch();

  // Whether waiting for more texts could not make the next batch any larger.
  bool IsFull() const {
    return static_cast<std::int64_t>(queue.size()) >= options.max_texts || queued_tokens >= options.max_tokens;
  }

  Session session;
  const BatcherOptions options;
  std::mutex mutex;
  std::condition_variable changed;  // what is below
  std::deque<Request> queue;
  std::int64_t queued_tokens = 0;
  bool is_closing = false;
  std::thread worker;
};

// The first texts that are within the limits; at least one. Precondition: the mutex is held, the queue not empty.
Batch Batcher::Impl::TakeBatch() {
  Batch batch;
  std::int64_t tokens_left = options.max_tokens;
  while (!queue.empty() && static_cast<std::int64_t>(batch.texts.size()) < options.max_texts) {
    Request& request = queue.front();
    const std::int64_t num_tokens = request.num_tokens();
    if (!batch.texts.empty() && num_tokens > tokens_left) {
      break;
    }
    tokens_left -= num_tokens;
    queued_tokens -= num_tokens;
    batch.texts.push_back(std::move(request.text));
    batch.answers.push_back(std::move(request.answer));
    queue.pop_front();
  }
  return batch;
}

void Batcher::Impl::Serve() {
  std::unique_lock lock(mutex);
  while (true) {
    changed.wait(lock, [&] { return !queue.empty() || is_closing; });
    if (queue.empty()) {
      return;
    }
    const Clock::time_point deadline =
        queue.front().submitted + std::min<std::chrono::microseconds>(options.max_wait, kLongestWait);
    changed.wait_until(lock, deadline, [&] { return IsFull() || is_closing; });
    Batch batch = TakeBatch();
    lock.unlock();
    RunBatch(&session, std::move(batch));
    lock.lock();
  }
}

Batcher::Batcher(Session session, const BatcherOptions& options)
    : impl_(std::make_unique<Impl>(std::move(session), options)) {}
Batcher::~Batcher() = default;

std::future<std::vector<float>> Batcher::Submit(Encoding text) {
  Request request = {std::move(text), {}, Clock::now()};
  std::future<std::vector<float>> answer = request.answer.get_future();
  try {
    model().Check(request.text);  // here, so that it does not fail a batch
  } catch (const Error&) {
    request.answer.set_exception(std::current_exception());
    return answer;
  }
  bool is_news = false;  // the server has a deadline to find, or none to wait for
  {
    const std::lock_guard lock(impl_->mutex);
    is_news = impl_->queue.empty();
    impl_->queued_tokens += request.num_tokens();
    impl_->queue.push_back(std::move(request));
    is_news = is_news || impl_->IsFull();
  }
  if (is_news) {
    impl_->changed.notify_one();
  }
  return answer;
}

const CompiledModel& Batcher::model() const noexcept { return impl_->session.model(); }

}  // namespace laconic
