// Serving: many clients, one model. Reads texts from standard input, one a line, and writes their labels.
//
//   serve MODEL [THREADS [CLIENTS [MAX_LENGTH]]] <texts.txt
//
// Each client here is a thread that takes a line, waits for its answer and takes the next: in a server it would be a
// connection's handler. docs/how_to/serve.md says how to build and deploy it.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <semaphore>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "laconic/batcher.h"
#include "laconic/error.h"
#include "laconic/metrics.h"
#include "laconic/model.h"
#include "laconic/session.h"

namespace {

constexpr std::ptrdiff_t kMaxOpen = 64;  // requests that may wait for the model at once

struct Answer {
  std::vector<std::string> labels;   // those that are on
  std::vector<float> probabilities;  // of all labels, in the model's order
};

// Safe to use from any number of threads.
class Classifier {
 public:
  Classifier(const std::string& path, int threads, std::int64_t max_length)
      : model_(laconic::Model::Load(path)),
        // A text longer than this is cut: the longest text decides how long others wait.
        max_length_(max_length == 0 ? model_.info().max_length : std::min(max_length, model_.info().max_length)),
        batcher_(laconic::Session(Compile(model_), threads),
                 {.max_texts = 32, .max_tokens = 4096, .max_wait = std::chrono::microseconds(0)}) {
    if (model_.info().labels.empty()) {
      laconic::Fail(laconic::ErrorCode::kInvalidArgument, "expected a classifier, got an encoder without labels");
    }
  }

  // Nothing where kMaxOpen texts are in work already: a server answers "503 Service Unavailable". Errors:
  // kInvalidArgument for a text that is not UTF-8 ("400 Bad Request"); kResource.
  std::optional<Answer> TryClassify(const std::string& text) {
    if (!open_.try_acquire()) {
      return std::nullopt;
    }
    const Release release{&open_};  // also when an error is thrown
    const std::vector<float> logits = batcher_.Run(model_.tokenizer().Encode(text, max_length_));
    const laconic::ModelInfo& info = model_.info();
    const auto num_labels = static_cast<std::int64_t>(info.labels.size());
    Answer answer;
    answer.probabilities = laconic::Probabilities(info.problem, num_labels, logits);
    const std::vector<std::uint8_t> is_on = laconic::Decide(info.problem, num_labels, logits);
    for (std::size_t i = 0; i < is_on.size(); ++i) {
      if (is_on[i] != 0) {
        answer.labels.push_back(info.labels[i]);
      }
    }
    return answer;
  }

 private:
  struct Release {
    std::counting_semaphore<kMaxOpen>* open;
    ~Release() { open->release(); }
  };

  static std::shared_ptr<const laconic::CompiledModel> Compile(const laconic::Model& model) {
    laconic::CompileOptions options;
    options.pack_cache = true;
    options.note = [](const std::string& text) { std::fprintf(stderr, "note: %s\n", text.c_str()); };
    return laconic::CompiledModel::Compile(model, options);
  }

  laconic::Model model_;
  std::int64_t max_length_;
  std::counting_semaphore<kMaxOpen> open_{kMaxOpen};
  laconic::Batcher batcher_;  // last: it is the first to go, and answers what is open
};

// The lines of standard input, numbered from 1, to whoever asks next.
class Lines {
 public:
  std::optional<std::pair<std::int64_t, std::string>> Next() {
    const std::lock_guard lock(mutex_);
    std::string line;
    if (!std::getline(std::cin, line)) {
      return std::nullopt;
    }
    return std::pair(++num_read_, std::move(line));
  }

 private:
  std::mutex mutex_;
  std::int64_t num_read_ = 0;
};

std::string Report(const std::optional<Answer>& answer) {
  if (!answer) {
    return "refused: too many requests are open";
  }
  std::string text;
  for (const std::string& label : answer->labels) {
    text += (text.empty() ? "" : ", ") + label;
  }
  const float best = *std::max_element(answer->probabilities.begin(), answer->probabilities.end());
  return text + "\t" + std::to_string(best);
}

void ServeClient(Classifier* classifier, Lines* lines) {
  while (const auto line = lines->Next()) {
    std::string report;
    try {
      report = Report(classifier->TryClassify(line->second));
    } catch (const laconic::Error& error) {  // of this text alone
      report = std::string("error: ") + error.what();
    }
    std::printf("%lld\t%s\n", static_cast<long long>(line->first), report.c_str());  // one call: lines do not mix
  }
}

int ParseNumber(const char* name, std::string_view text, int least) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least) {
    laconic::Fail(laconic::ErrorCode::kInvalidArgument, name, ": expected a number of at least ", least, ", got '",
                  text, "'");
  }
  return value;
}

int Serve(int argc, char** argv) {
  const int threads = argc > 2 ? ParseNumber("THREADS", argv[2], 1) : 1;
  const int num_clients = argc > 3 ? ParseNumber("CLIENTS", argv[3], 1) : 8;
  const int max_length = argc > 4 ? ParseNumber("MAX_LENGTH", argv[4], 0) : 0;  // 0: the model's
  Classifier classifier(argv[1], threads, max_length);
  Lines lines;
  std::vector<std::jthread> clients;
  for (int i = 0; i < num_clients; ++i) {
    clients.emplace_back(ServeClient, &classifier, &lines);
  }
  return 0;  // the clients are waited for, then the batcher
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 5) {
    std::fprintf(stderr, "usage: serve MODEL [THREADS [CLIENTS [MAX_LENGTH]]] <texts.txt\n");
    return 2;
  }
  try {
    return Serve(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "serve: %s\n", error.what());
    return 1;
  }
}
