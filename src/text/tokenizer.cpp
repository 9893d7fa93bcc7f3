#include "laconic/tokenizer.h"

#include <algorithm>
#include <mutex>
#include <span>

#include "base/utf8.h"
#include "laconic/error.h"
#include "text/tokenizer_parts.h"
#include "text/word_cache.h"

namespace laconic {
namespace {

// Memory that one call after the other uses.
struct Scratch {
  std::string normalized;
  text::ModelScratch model;
  text::WordCache words;
};

// As many as calls ever ran at once.
class ScratchPool {
 public:
  std::unique_ptr<Scratch> Take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) {
      return std::make_unique<Scratch>();
    }
    std::unique_ptr<Scratch> scratch = std::move(free_.back());
    free_.pop_back();
    return scratch;
  }
  void Give(std::unique_ptr<Scratch> scratch) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(scratch));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Scratch>> free_;
};

// Scratch for the length of a call. What a huge text made grow is given up afterwards, and so is what an error left.
class ScratchLoan {
 public:
  explicit ScratchLoan(ScratchPool* pool) : pool_(*pool), scratch_(pool->Take()) {}
  Scratch* get() const { return scratch_.get(); }
  void Return(std::size_t text_bytes) {
    constexpr std::size_t kMaxTextBytes = std::size_t{1} << 16;
    if (text_bytes <= kMaxTextBytes) {
      pool_.Give(std::move(scratch_));
    }
  }

 private:
  ScratchPool& pool_;
  std::unique_ptr<Scratch> scratch_;
};

// Gathers the ids of one text; stops as soon as they are more than `limit`.
class Collector {
 public:
  Collector(const text::TokenizerParts& tokenizer, std::int64_t limit, Scratch* scratch)
      : tokenizer_(tokenizer), limit_(limit), scratch_(*scratch) {}

  void Run(std::string_view text) {
    input_ = text.data();
    ids_.reserve(std::min(static_cast<std::size_t>(limit_), text.size() / 4));
    tokenizer_.added->SplitRaw(text, [this](std::optional<std::int32_t> id, std::string_view section) {
      return id.has_value() ? AddToken(*id) : AddSection(section);
    });
  }

  std::int64_t num_tokens() const { return static_cast<std::int64_t>(ids_.size()); }
  std::span<const std::int32_t> First(std::int64_t count) const {
    return std::span(ids_).first(static_cast<std::size_t>(std::min(count, num_tokens())));
  }

 private:
  bool AddToken(std::int32_t id) {
    ids_.push_back(id);
    return num_tokens() <= limit_;
  }

  bool AddSection(std::string_view section) {
    if (tokenizer_.normalizer != nullptr) {
      scratch_.normalized.clear();
      tokenizer_.normalizer->Append(section, &scratch_.normalized);
      section = scratch_.normalized;
    }
    return tokenizer_.added->SplitNormalized(section, [this](std::optional<std::int32_t> id, std::string_view part) {
      return id.has_value() ? AddToken(*id) : Split({part, part.data() == input_});
    });
  }

  bool Split(const text::Piece& piece) {
    const auto add_piece = [this](const text::Piece& part) { return AddPiece(part); };
    return tokenizer_.pre_tokenizer == nullptr ? AddPiece(piece) : tokenizer_.pre_tokenizer->Split(piece, add_piece);
  }

  bool AddPiece(const text::Piece& piece) {
    if (piece.text.size() > text::WordCache::kMaxWordBytes) {
      tokenizer_.model->Tokenize(piece.text, &scratch_.model, &ids_);
      return num_tokens() <= limit_;
    }
    const std::size_t place = text::WordCache::PlaceOf(piece.text);
    if (!scratch_.words.AppendIds(place, piece.text, &ids_)) {
      const std::size_t num_before = ids_.size();
      tokenizer_.model->Tokenize(piece.text, &scratch_.model, &ids_);
      scratch_.words.Put(place, piece.text, std::span(ids_).subspan(num_before));
    }
    return num_tokens() <= limit_;
  }

  const text::TokenizerParts& tokenizer_;
  std::int64_t limit_;
  const char* input_ = nullptr;
  Scratch& scratch_;
  std::vector<std::int32_t> ids_;
};

void CheckUtf8(std::string_view text) {
  const std::size_t invalid = FindInvalidUtf8(text);
  if (invalid != std::string_view::npos) {
    Fail(ErrorCode::kInvalidArgument, "the text is not UTF-8 at byte ", invalid);
  }
}

// What the special tokens leave of `max_length`.
std::int64_t RoomFor(const text::Template& pieces, std::int64_t max_length) {
  const std::int64_t num_added = text::NumAdded(pieces);
  if (max_length < num_added) {
    Fail(ErrorCode::kInvalidArgument, "a maximum length of ", max_length, " leaves no room for ", num_added,
         " special tokens");
  }
  return max_length - num_added;
}

// Shortens two lengths to `room` in all, the longer first. Source: Hugging Face's "longest_first"
// (src/utils/truncation.rs), which gives the odd token to the longer text.
std::pair<std::int64_t, std::int64_t> LongestFirst(std::int64_t first, std::int64_t second, std::int64_t room) {
  if (first + second <= room) {
    return {first, second};
  }
  std::int64_t shorter = std::min(first, second);
  std::int64_t longer = shorter > room ? shorter : std::max(shorter, room - shorter);
  if (shorter + longer > room) {
    shorter = room / 2;
    longer = shorter + room % 2;
  }
  return first > second ? std::pair(longer, shorter) : std::pair(shorter, longer);
}

}  // namespace

struct Tokenizer::Impl : text::TokenizerParts {
  explicit Impl(text::TokenizerParts parts) : text::TokenizerParts(std::move(parts)) {}
  mutable ScratchPool scratch;
};

Tokenizer::Tokenizer(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}

Tokenizer Tokenizer::FromDirectory(const std::filesystem::path& directory) {
  return Tokenizer(std::make_shared<const Impl>(text::ReadTokenizer(directory)));
}

Tokenizer Tokenizer::FromJson(std::string_view tokenizer_json) {
  return Tokenizer(std::make_shared<const Impl>(text::ParseTokenizer(tokenizer_json)));
}

Encoding Tokenizer::Encode(std::string_view text, std::int64_t max_length) const {
  CheckUtf8(text);
  const text::Template& pieces = impl_->post_processor.single;
  const std::int64_t room = RoomFor(pieces, max_length);
  ScratchLoan scratch(&impl_->scratch);
  Collector collector(*impl_, room, scratch.get());
  collector.Run(text);
  scratch.Return(text.size());
  Encoding encoding = text::Assemble(pieces, collector.First(room), {});
  encoding.truncated = collector.num_tokens() > room;
  return encoding;
}

Encoding Tokenizer::EncodePair(std::string_view first, std::string_view second, std::int64_t max_length) const {
  CheckUtf8(first);
  CheckUtf8(second);
  const text::Template& pieces = impl_->post_processor.pair;
  const std::int64_t room = RoomFor(pieces, max_length);
  // Which text is the longer one decides who gets the odd token, so both are tokenized to their ends.
  ScratchLoan scratch(&impl_->scratch);
  Collector collectors[] = {{*impl_, INT64_MAX, scratch.get()}, {*impl_, INT64_MAX, scratch.get()}};
  collectors[0].Run(first);
  collectors[1].Run(second);
  scratch.Return(std::max(first.size(), second.size()));
  const auto [num_first, num_second] = LongestFirst(collectors[0].num_tokens(), collectors[1].num_tokens(), room);
  Encoding encoding = text::Assemble(pieces, collectors[0].First(num_first), collectors[1].First(num_second));
  encoding.truncated = collectors[0].num_tokens() + collectors[1].num_tokens() > room;
  return encoding;
}

std::int64_t Tokenizer::vocabulary_size() const noexcept {
  return 1 + std::int64_t{std::max(
                 {impl_->model->largest_id(), impl_->added->largest_id(), text::LargestId(impl_->post_processor)})};
}

std::int64_t Tokenizer::model_max_length() const noexcept { return impl_->model_max_length; }

const std::vector<std::string>& Tokenizer::file_names() const noexcept { return impl_->file_names; }

}  // namespace laconic
